//! (4) Large blocks: random replacement of blocks of 64 KiB to 8 MiB, each written once in every 4 KiB.

use crate::block::Block;
use crate::measure::raw::Raw;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{LARGE, Sizes};
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "large",
    about: "random replacement of 64 KiB to 8 MiB blocks, 8 live a thread, all touched",
    operation: "replacement",
    variants: PLAIN,
    counts: Counts::All,
    kind: Kind::Speed,
    code: Code::Here(run),
};

/// Live blocks of a thread.
const BLOCKS: usize = 8;

fn run(job: &Job) -> Outcome {
    let sizes = Sizes::new(LARGE, 4);
    let steps = (job.scale.of(4_000) / job.threads).max(1);
    let mut tables: Vec<_> = (0..job.threads).map(|_| Raw::<Block>::zeroed(BLOCKS)).collect();
    let measured = threads::run(&mut tables, |index, table| {
        let mut random = Random::new(index as u64);
        for _ in 0..steps {
            let bits = random.bits();
            let slot = &mut table[(bits >> 32) as usize % BLOCKS];
            slot.release();
            *slot = Block::new(sizes.pick(bits));
            slot.touch();
        }
        for slot in table.iter_mut() {
            slot.release();
        }
    });
    Outcome::new((steps * job.threads) as u64, measured)
}
