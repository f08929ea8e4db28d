//! (8) Thousands of short threads, eight alive at a time: each allocates 64 small objects, frees them together with a
//! block of an earlier thread, and hands a block of its own on.

use std::collections::VecDeque;
use std::thread::JoinHandle;

use crate::measure::usage::Stretch;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::workload::{Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "short-threads",
    about: "4,000 threads of 64 small objects each, 8 alive at a time, blocks handed on",
    operation: "thread",
    variants: PLAIN,
    counts: Counts::Cores,
    kind: Kind::Speed,
    run,
};

/// Threads alive at a time.
const ALIVE: usize = 8;
/// Objects of a thread.
const OBJECTS: usize = 64;

/// One thread's life.
fn live(seed: u64, inherited: Option<Box<[u8]>>) -> Box<[u8]> {
    let mut random = Random::new(seed);
    let mut objects: Vec<Box<[u8]>> = Vec::with_capacity(OBJECTS);
    for _ in 0..OBJECTS {
        objects.push(vec![1u8; random.between(16, 512)].into_boxed_slice());
    }
    drop(inherited);
    drop(objects);
    vec![2u8; random.between(64, 4096)].into_boxed_slice()
}

fn run(job: &Job) -> Outcome {
    let count = job.scale.of(4_000).max(2 * ALIVE);
    let stretch = Stretch::start();
    let mut alive: VecDeque<JoinHandle<Box<[u8]>>> = VecDeque::with_capacity(ALIVE);
    for seed in 0..count as u64 {
        let inherited = if alive.len() == ALIVE { alive.pop_front().map(finish) } else { None };
        let handle = std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || live(seed, inherited))
            .expect("the machine has room for eight threads");
        alive.push_back(handle);
    }
    for handle in alive {
        drop(finish(handle));
    }
    Outcome::new(count as u64, stretch.end())
}

fn finish(handle: JoinHandle<Box<[u8]>>) -> Box<[u8]> {
    handle.join().expect("short threads do not panic")
}
