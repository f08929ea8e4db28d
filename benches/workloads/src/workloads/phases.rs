//! (10) Phases: every second two threads build up a live set, work on it, and drop nine tenths of it. Each second has
//! another mix of sizes. The threads sleep for the rest of the second. So every allocator does the same work, and the cost
//! is CPU time per operation. The driver samples memory from outside.

use std::time::{Duration, Instant};

use crate::block::{Block, TOUCH_BYTES};
use crate::measure::histogram::Histogram;
use crate::measure::process;
use crate::measure::raw::Raw;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{Mix, Sizes};
use crate::threads;
use crate::workload::{Code, Counts, END_MARKER, Job, Kind, MARKER, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "phases",
    about: "a live set of 200 MiB grows and shrinks every second, with changing size mixes",
    operation: "allocation or free",
    variants: PLAIN,
    counts: Counts::Cores,
    kind: Kind::Paced,
    code: Code::Here(run),
};

/// The size mixes, in turn.
const MIXES: [Mix; 3] = [&[(1000, 16, 1024)], &[(1000, 256, 16 << 10)], &[(1000, 4 << 10, 512 << 10)]];
/// Live bytes at the top of a phase, all threads together.
const LIVE_BYTES: usize = 200 << 20;
/// Most objects a thread can have: the smallest mix's mean is about 240 B.
const SLOTS: usize = 1_200_000;
/// Length of a phase.
const PERIOD: Duration = Duration::from_secs(1);

struct State {
    table: Raw<Block>,
    busy: Histogram,
    ops: u64,
}

fn object(bytes: usize) -> Block {
    let mut block = Block::new(bytes);
    if bytes > TOUCH_BYTES {
        block.touch();
    }
    block
}

/// Grow, work, shrink; gives the number of operations.
fn phase(table: &mut Raw<Block>, sizes: &Sizes, live_bytes: usize, random: &mut Random) -> u64 {
    let mut ops = 0;
    let mut count = 0;
    let mut bytes = 0;
    while bytes < live_bytes && count < table.len() {
        let size = sizes.pick(random.bits());
        // Survivors of the last phase are freed when their place is needed.
        ops += 1 + u64::from(table[count].is_some());
        table[count] = object(size);
        bytes += size;
        count += 1;
    }
    for _ in 0..count {
        let slot = &mut table[random.below(count)];
        slot.release();
        *slot = object(sizes.pick(random.bits()));
        ops += 2;
    }
    for slot in table.iter_mut() {
        if slot.is_some() && !random.per_mille(100) {
            slot.release();
            ops += 1;
        }
    }
    ops
}

fn run(job: &Job) -> Outcome {
    let phases = job.scale.pick(6, 3, 2);
    let period = job.scale.pick(PERIOD, PERIOD, PERIOD / 10);
    let slots = job.scale.pick(SLOTS, SLOTS, SLOTS / 100) / job.threads;
    let live_bytes = job.scale.pick(LIVE_BYTES, LIVE_BYTES, LIVE_BYTES / 100) / job.threads;
    let sizes: Vec<_> = MIXES.iter().map(|mix| Sizes::new(mix, 10)).collect();
    let mut states: Vec<_> =
        (0..job.threads).map(|_| State { table: Raw::zeroed(slots), busy: Histogram::new(), ops: 0 }).collect();
    process::write_line(MARKER);
    let start = Instant::now();
    let measured = threads::run(&mut states, |index, state| {
        let mut random = Random::new(index as u64);
        for number in 0..phases {
            let begun = Instant::now();
            state.ops += phase(&mut state.table, &sizes[number % sizes.len()], live_bytes, &mut random);
            state.busy.record(begun.elapsed().as_nanos() as u64);
            let next = start + period * (number as u32 + 1);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        for slot in state.table.iter_mut() {
            state.ops += u64::from(slot.is_some());
            slot.release();
        }
    });
    process::write_line(END_MARKER);
    let mut busy = Histogram::new();
    for state in &states {
        busy.add(&state.busy);
    }
    let mut outcome = Outcome::new(states.iter().map(|state| state.ops).sum(), measured);
    outcome.set("phase_median_ns", busy.quantile(0.5));
    outcome.set("phase_max_ns", busy.max());
    outcome
}
