//! (5) Zeroed memory: random replacement of `alloc_zeroed` blocks of 256 B to 4 MiB. Half of them are written all over
//! (once in 4 KiB), half only in their first quarter, like a table that never fills.

use crate::block::Block;
use crate::measure::raw::Raw;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{Mix, Sizes};
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "zeroed",
    about: "alloc_zeroed of 256 B to 4 MiB, 16 live a thread, half of them written in full",
    operation: "replacement",
    variants: PLAIN,
    counts: Counts::UpToCores,
    kind: Kind::Speed,
    code: Code::Here(run),
};

const ZEROED: Mix = &[(1000, 256, 4 << 20)];
/// Live blocks of a thread.
const BLOCKS: usize = 16;

fn run(job: &Job) -> Outcome {
    let sizes = Sizes::new(ZEROED, 5);
    let steps = (job.scale.of(8_000) / job.threads).max(1);
    let mut tables: Vec<_> = (0..job.threads).map(|_| Raw::<Block>::zeroed(BLOCKS)).collect();
    let measured = threads::run(&mut tables, |index, table| {
        let mut random = Random::new(index as u64);
        for _ in 0..steps {
            let bits = random.bits();
            let slot = &mut table[(bits >> 32) as usize % BLOCKS];
            slot.release();
            let bytes = sizes.pick(bits);
            *slot = Block::zeroed(bytes);
            assert_eq!(slot.first_word(), 0, "alloc_zeroed returned memory that is not zero");
            slot.touch_first(if bits >> 63 == 0 { bytes } else { bytes / 4 });
        }
        for slot in table.iter_mut() {
            slot.release();
        }
    });
    Outcome::new((steps * job.threads) as u64, measured)
}
