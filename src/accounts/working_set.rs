//! How much of a level of free memory nobody needed for a while.
//!
//! For small objects a shard takes what another has free, unless there is no more memory, only if that has not been needed for
//! a whole epoch. What is freed and taken again all the time lies in the caches of the processors that do so: to fetch a line
//! from there takes longer than to have a fresh one cleared, thirty times where a line takes 170 ns, and they want it back. More
//! than those caches can hold is another matter.
//!
//! Periods are by the clock and not by the scavenger's ticks, which stop while it has nothing to do. They end at the first look
//! after their time, so that the owners pay one comparison each time they take; what was needed since the look before, however
//! long ago, counts as needed once more.
//!
//! Locks: none; the caller holds the one around the level.
#![forbid(unsafe_code)]

/// The length of a epoch: longer than a compiler takes for a file or a server for a request.
const EPOCH_NS: u64 = 100_000_000;

/// The number of the epoch at a time of the clock. It may wrap.
pub const fn epoch(now_ns: u64) -> u32 {
    (now_ns / EPOCH_NS) as u32
}

/// The least that a level was in a epoch, and in the one before, without what others were given since.
pub struct WorkingSet {
    epoch: u32,
    least: usize,
    before: usize,
}

impl WorkingSet {
    /// Of a level that is zero.
    pub const fn new() -> Self {
        Self { epoch: 0, least: 0, before: 0 }
    }

    /// The level has fallen, or may have.
    #[inline]
    pub const fn fell_to(&mut self, now: usize) {
        if now < self.least {
            self.least = now;
        }
    }

    /// Others were given so much of it.
    pub const fn lent(&mut self, amount: usize) {
        self.least = self.least.saturating_sub(amount);
        self.before = self.before.saturating_sub(amount);
    }

    /// How much of a level that is `now` was there all through the last epoch that somebody looked at, and since; all of it,
    /// where it is more than `most_cached`. Of two threads that look as a epoch begins, the later may
    /// come with the older number.
    pub const fn excess(&mut self, epoch: u32, now: usize, most_cached: usize) -> usize {
        // In a model no time passes.
        if cfg!(loom) || now > most_cached {
            return now;
        }
        if epoch != self.epoch && epoch != self.epoch.wrapping_sub(1) {
            self.epoch = epoch;
            self.before = self.least;
            self.least = now;
        }
        // The level itself may be lower for a moment, while slots are in flight to have their pages released.
        let least = if self.before < self.least { self.before } else { self.least };
        if least < now { least } else { now }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MOST: usize = 1000;

    #[test]
    fn what_was_there_all_through_an_epoch_is_excess() {
        let mut level = WorkingSet::new();
        // (epoch, what it fell to before the look, the level at the look, what is unneeded)
        for (epoch, fell_to, now, excess) in [
            (7, 0, 100, 0),
            (7, 100, 120, 0),
            (8, 90, 130, 90),
            (8, 130, 130, 90),
            (8, 40, 140, 40),
            (9, 140, 140, 40),
            (20, 140, 140, 140),
            // Somebody who is late changes nothing.
            (19, 140, 150, 140),
            (21, 0, 150, 0),
            (22, 150, 150, 150),
        ] {
            level.fell_to(fell_to);
            assert_eq!(level.excess(epoch, now, MOST), excess, "epoch {epoch}, {now}");
        }
    }

    #[test]
    fn more_than_caches_hold_is_excess_at_once() {
        let mut level = WorkingSet::new();
        assert_eq!((level.excess(1, MOST, MOST), level.excess(1, MOST + 1, MOST)), (0, MOST + 1));
    }

    #[test]
    fn what_others_were_given_does_not_count_again() {
        let mut level = WorkingSet::new();
        level.excess(1, 140, MOST);
        level.fell_to(40);
        assert_eq!(level.excess(2, 140, MOST), 40);
        level.lent(30);
        level.fell_to(110);
        assert_eq!(level.excess(2, 110, MOST), 10);
        level.lent(30);
        assert_eq!((level.excess(2, 110, MOST), level.excess(3, 110, MOST)), (0, 80));
    }

    #[test]
    fn periods_may_wrap() {
        let mut level = WorkingSet::new();
        for epoch in [u32::MAX - 1, u32::MAX, 0, 1] {
            level.excess(epoch, 5, MOST);
            assert_eq!(level.epoch, epoch);
        }
        assert_eq!((level.excess(0, 5, MOST), level.epoch), (5, 1), "somebody who is late");
        assert_eq!([0, EPOCH_NS - 1, EPOCH_NS, EPOCH_NS << 32].map(epoch), [0, 0, 1, 0]);
    }
}
