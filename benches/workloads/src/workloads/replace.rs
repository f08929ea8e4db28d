//! (1) Random replacement: a big table of live objects of 8 B to 32 KiB; each step frees a random one and puts a new one
//! of random size in its place. Every thread has its own part of the table.

use crate::block::{Block, TOUCH_BYTES};
use crate::measure::raw::Raw;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{PROGRAM, Sizes};
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "replace",
    about: "random replacement of 8 B to 32 KiB objects in a table of 50,000",
    operation: "replacement",
    variants: PLAIN,
    counts: Counts::All,
    kind: Kind::Speed,
    code: Code::Here(run),
};

/// Live objects, all threads together.
const OBJECTS: usize = 50_000;

#[inline]
fn object(sizes: &Sizes, bits: u64) -> Block {
    let bytes = sizes.pick(bits);
    let mut block = Block::new(bytes);
    if bytes > TOUCH_BYTES {
        block.touch();
    }
    block
}

fn run(job: &Job) -> Outcome {
    let sizes = Sizes::new(PROGRAM, 1);
    let mut tables: Vec<_> = (0..job.threads).map(|_| Raw::<Block>::zeroed(OBJECTS / job.threads)).collect();
    let steps = job.scale.of(2_000_000) / job.threads;
    let measured = threads::run(&mut tables, |index, table| {
        let mut random = Random::new(index as u64);
        for slot in table.iter_mut() {
            *slot = object(&sizes, random.bits());
        }
        for _ in 0..steps {
            let bits = random.bits();
            let slot = &mut table[(((bits >> 32) * (OBJECTS / job.threads) as u64) >> 32) as usize];
            slot.release();
            *slot = object(&sizes, bits);
        }
        for slot in table.iter_mut() {
            slot.release();
        }
    });
    Outcome::new((steps * job.threads) as u64, measured)
}
