//! (14) Shifting mixes: two threads let their live memory swing between 48 and 400 MiB once a second, and each swing has
//! another mix of sizes. The objects that a shrink leaves are chosen at random, so every mix leaves some objects of its
//! own among the objects of the next mixes.
//!
//! The threads grow at the start of a second and shrink in the middle of it, so the time at either level hardly depends on
//! the allocator. The cost is CPU time per operation, and mean memory over the whole run.

use std::time::{Duration, Instant};

use crate::block::{Block, TOUCH_BYTES};
use crate::measure::process;
use crate::measure::raw::{self, Raw};
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{Mix, PROGRAM, Sizes};
use crate::threads;
use crate::workload::{Code, Counts, END_MARKER, Job, Kind, MARKER, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "shifting",
    about: "live memory swings between 48 and 400 MiB each second, with another mix of sizes each time",
    operation: "allocation or free",
    variants: PLAIN,
    counts: Counts::Cores,
    kind: Kind::Paced,
    code: Code::Here(run),
};

/// The mixes, in turn.
const MIXES: [Mix; 5] = [
    &[(1000, 2 << 10, 64 << 10)],
    &[(1000, 64, 1024)],
    &[(1000, 16 << 10, 512 << 10)],
    &[(1000, 192, 6 << 10)],
    PROGRAM,
];
/// Live bytes, all threads together, before and after a shrink.
const HIGH_BYTES: usize = 400 << 20;
const LOW_PER_MILLE: usize = 120;
/// Objects that find room: the smallest mix has a mean of some 350 bytes.
const SLOTS: usize = 1_500_000;
/// Length of a swing.
const PERIOD: Duration = Duration::from_secs(1);

/// A thread's live objects.
struct Set {
    table: Raw<Block>,
    count: usize,
    bytes: usize,
    ops: u64,
}

impl Set {
    fn new(slots: usize) -> Self {
        Set { table: Raw::zeroed(slots), count: 0, bytes: 0, ops: 0 }
    }

    fn push(&mut self, bytes: usize) {
        let mut block = Block::new(bytes);
        if bytes > TOUCH_BYTES {
            block.touch();
        }
        self.table[self.count] = block;
        self.count += 1;
        self.bytes += bytes;
        self.ops += 1;
    }

    /// Grows to `bytes`, then replaces objects until a quarter of the bytes is new.
    fn grow(&mut self, bytes: usize, sizes: &Sizes, random: &mut Random) {
        let has_room = |set: &Self| set.bytes < bytes && set.count < set.table.len();
        while has_room(self) {
            self.push(sizes.pick(random.bits()));
        }
        let mut replaced = 0;
        while replaced < bytes / 4 {
            while !has_room(self) {
                let at = random.below(self.count);
                self.remove(at);
            }
            let size = sizes.pick(random.bits());
            self.push(size);
            replaced += size;
        }
    }

    /// Frees the object at `at`; the last object takes its place.
    fn remove(&mut self, at: usize) {
        self.count -= 1;
        self.table.swap(at, self.count);
        let block = &mut self.table[self.count];
        // Touching a block has overwritten its first byte.
        assert_eq!(block.first_word() as usize >> 8, block.range().1 >> 8, "an object has changed");
        self.bytes -= block.range().1;
        block.release();
        self.ops += 1;
    }

    /// Frees each object but `per_mille` in a thousand.
    fn shrink(&mut self, per_mille: usize, random: &mut Random) {
        let mut at = 0;
        while at < self.count {
            if random.per_mille(per_mille) {
                at += 1;
            } else {
                self.remove(at);
            }
        }
    }
}

fn run(job: &Job) -> Outcome {
    let swings = job.scale.pick(10, 5, 2);
    let period = job.scale.pick(PERIOD, PERIOD, PERIOD / 10);
    let slots = job.scale.pick(SLOTS, SLOTS, SLOTS / 100) / job.threads;
    let high_bytes = job.scale.pick(HIGH_BYTES, HIGH_BYTES, HIGH_BYTES / 100) / job.threads;
    let sizes: Vec<_> = MIXES.iter().map(|mix| Sizes::new(mix, 14)).collect();
    let mut sets: Vec<_> = (0..job.threads).map(|_| Set::new(slots)).collect();
    let tables = raw::live_bytes();
    process::write_line(MARKER);
    let start = Instant::now();
    let measured = threads::run(&mut sets, |index, set| {
        let mut random = Random::new(index as u64);
        let sleep_until = |time: Duration| std::thread::sleep((start + time).saturating_duration_since(Instant::now()));
        for swing in 0..swings {
            sleep_until(period * swing as u32);
            set.grow(high_bytes, &sizes[swing % sizes.len()], &mut random);
            sleep_until(period * swing as u32 + period / 2);
            set.shrink(LOW_PER_MILLE, &mut random);
        }
        sleep_until(period * swings as u32);
        set.shrink(0, &mut random);
    });
    process::write_line(END_MARKER);
    assert!(sets.iter().all(|set| set.bytes == 0), "all objects were freed");
    let mut outcome = Outcome::new(sets.iter().map(|set| set.ops).sum(), measured);
    outcome.set("idle_bookkeeping_bytes", tables as u64);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_grows_and_shrinks() {
        let (sizes, mut random) = (Sizes::new(PROGRAM, 1), Random::new(2));
        let mut set = Set::new(20_000);
        set.grow(4 << 20, &sizes, &mut random);
        let high = set.count;
        assert!((4 << 20..(4 << 20) + (64 << 10)).contains(&set.bytes) && high > 500, "{} {high}", set.bytes);
        set.shrink(LOW_PER_MILLE, &mut random);
        assert!((high / 20..high / 5).contains(&set.count), "{} of {high}", set.count);
        let live: usize = set.table[..set.count].iter().map(|block| block.range().1).sum();
        assert_eq!(live, set.bytes);
        set.shrink(0, &mut random);
        assert_eq!((set.count, set.bytes), (0, 0));
    }
}
