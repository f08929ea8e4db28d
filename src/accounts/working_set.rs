//! A working set: which part of a level of free memory was needed lately. The rest of the level is excess.
//!
//! A shard takes memory for small objects from another shard only out of the other shard's excess, unless the OS gives no
//! more memory. Memory that threads free and take again all the time lies in the caches of their processors. To fetch a
//! line from another processor's cache takes longer than to have a fresh line cleared, and the owner wants the memory back
//! soon. A level that is larger than these caches is excess as a whole.
//!
//! An epoch follows the clock and not the scavenger's ticks, which stop while the scavenger has nothing to do. An epoch
//! ends at the first look after its time. So an owner that takes memory pays one comparison and reads no clock. Memory that
//! was needed since the last look, however long ago that look was, counts as needed in the epoch.
//!
//! Locks: none. The caller holds the lock around the level.
#![forbid(unsafe_code)]

/// The length of an epoch: longer than a compiler needs for a file or a server for a request.
const EPOCH_NS: u64 = 100_000_000;

/// The number of the epoch at `now_ns` of the clock. The number may wrap.
pub const fn epoch(now_ns: u64) -> u32 {
    (now_ns / EPOCH_NS) as u32
}

/// The least that a level was in the current epoch and in the epoch before, less what was lent to other shards since.
pub struct WorkingSet {
    epoch: u32,
    least: usize,
    least_before: usize,
}

impl WorkingSet {
    /// The working set of a level that is zero.
    pub const fn new() -> Self {
        Self { epoch: 0, least: 0, least_before: 0 }
    }

    /// Notes that the level may have fallen to `now`.
    #[inline]
    pub const fn fell_to(&mut self, now: usize) {
        if now < self.least {
            self.least = now;
        }
    }

    /// Notes that another shard was given `amount` of the level: the same excess is not given twice.
    pub const fn lent(&mut self, amount: usize) {
        self.least = self.least.saturating_sub(amount);
        self.least_before = self.least_before.saturating_sub(amount);
    }

    /// The excess of a level that is `now`: the part that was free all through the last epoch in which somebody looked, and
    /// ever since. A level above `most_cached` is excess as a whole.
    ///
    /// Two threads may look just as an epoch begins, and the later one may come with the older number. So the number of the
    /// epoch before changes nothing.
    pub const fn excess(&mut self, epoch: u32, now: usize, most_cached: usize) -> usize {
        // In a model no time passes.
        if cfg!(loom) || now > most_cached {
            return now;
        }
        if epoch != self.epoch && epoch != self.epoch.wrapping_sub(1) {
            self.epoch = epoch;
            self.least_before = self.least;
            self.least = now;
        }
        // The level may be lower than `least` for a moment: slots in flight, whose pages are being released, do not count.
        let least = if self.least_before < self.least { self.least_before } else { self.least };
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
        // (epoch, what the level fell to before the look, the level at the look, the excess)
        for (epoch, fell_to, now, excess) in [
            (7, 0, 100, 0),
            (7, 100, 120, 0),
            (8, 90, 130, 90),
            (8, 130, 130, 90),
            (8, 40, 140, 40),
            (9, 140, 140, 40),
            (20, 140, 140, 140),
            // A thread that is late changes nothing.
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
    fn excess_that_was_lent_does_not_count_again() {
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
    fn epochs_may_wrap() {
        let mut level = WorkingSet::new();
        for epoch in [u32::MAX - 1, u32::MAX, 0, 1] {
            level.excess(epoch, 5, MOST);
            assert_eq!(level.epoch, epoch);
        }
        assert_eq!((level.excess(0, 5, MOST), level.epoch), (5, 1), "a thread that is late");
        assert_eq!([0, EPOCH_NS - 1, EPOCH_NS, EPOCH_NS << 32].map(epoch), [0, 0, 1, 0]);
    }
}
