//! (6) Growing vectors and strings: four vectors and four strings grow in turn, a piece at a time, each to a random
//! length (1 KiB to 8 MiB, and 64 B to 16 KiB), then start again.

use std::hint::black_box;

use crate::outcome::Outcome;
use crate::random::Random;
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "vectors",
    about: "vectors growing to 1 KiB to 8 MiB and strings to 64 B to 16 KiB (realloc)",
    operation: "MiB appended",
    variants: PLAIN,
    counts: Counts::UpToCores,
    kind: Kind::Speed,
    code: Code::Here(run),
};

const VECTORS: usize = 4;
const WORDS: [&str; 4] = ["allocator", " gives", " memory back to", " the operating system;"];

fn run(job: &Job) -> Outcome {
    let appended = job.scale.of(1_000 << 20) / job.threads;
    let mut states = vec![(); job.threads];
    let measured = threads::run(&mut states, |index, ()| grow(appended, &mut Random::new(index as u64)));
    Outcome::new(((appended * job.threads) >> 20).max(1) as u64, measured)
}

fn grow(bytes: usize, random: &mut Random) {
    let piece = [7u64; 128];
    let mut vectors: [Vec<u64>; VECTORS] = Default::default();
    let mut strings: [String; VECTORS] = Default::default();
    let mut vector_ends = [0usize; VECTORS];
    let mut string_ends = [0usize; VECTORS];
    let mut left = bytes as isize;
    while left > 0 {
        for (vector, end) in vectors.iter_mut().zip(&mut vector_ends) {
            if vector.len() >= *end {
                *vector = Vec::new();
                *end = random.log_uniform(1 << 10, 8 << 20) / 8;
            }
            let words = 16 + random.below(112);
            vector.extend_from_slice(&piece[..words]);
            left -= 8 * words as isize;
        }
        for (string, end) in strings.iter_mut().zip(&mut string_ends) {
            if string.len() >= *end {
                *string = String::new();
                *end = random.log_uniform(64, 16 << 10);
            }
            let word = WORDS[random.below(WORDS.len())];
            string.push_str(word);
            left -= word.len() as isize;
        }
    }
    black_box((vectors, strings));
}
