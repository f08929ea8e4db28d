//! (2) Pure pairs: allocate 16 to 256 bytes and free them at once. Half of them have a size the compiler knows
//! (`Box::new`), half a size that is only known at run time.

use std::hint::black_box;

use crate::block::Block;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{Mix, Sizes};
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "pairs",
    about: "allocate 16 to 256 B and free at once, half with a constant size",
    operation: "pair",
    variants: PLAIN,
    counts: Counts::UpToCores,
    kind: Kind::Speed,
    code: Code::Here(run),
};

const PAIRS: Mix = &[(1000, 16, 256)];

#[inline(always)]
fn constant<const WORDS: usize>(round: u64) {
    drop(black_box(Box::new([round; WORDS])));
}

fn run(job: &Job) -> Outcome {
    let sizes = Sizes::new(PAIRS, 2);
    let rounds = job.scale.of(2_000_000) / job.threads;
    let mut states = vec![(); job.threads];
    let measured = threads::run(&mut states, |index, ()| {
        let mut random = Random::new(index as u64);
        for round in 0..rounds as u64 {
            constant::<2>(round);
            constant::<6>(round);
            constant::<12>(round);
            constant::<32>(round);
            let bits = random.bits();
            for shift in [0, 12, 24, 36] {
                drop(black_box(Block::new(sizes.pick(bits >> shift))));
            }
        }
    });
    Outcome::new((8 * rounds * job.threads) as u64, measured)
}
