//! The demand windows: the least and the most of a quantity in each of the recent epochs.
//!
//! The demand is the working set of backed memory. Why extremes of each epoch and no average: a forgotten peak is what
//! faults in again, and an average does not know of the peak. (The idea is tcmalloc's, with windows of seconds.)
//!
//! Invariants
//! 1. Epoch numbers only grow. A gap is filled with the extremes seen over it, so a sleep never loses a peak.
//! 2. The state has a fixed size and starts as zeroes.
//!
//! Locks: none.

use super::tuning::{EPOCH_NS, EPOCHS};

#[derive(Clone, Copy)]
struct Epoch {
    min: u64,
    max: u64,
}

/// The extremes of one quantity over the last epochs.
pub(super) struct Windows {
    epochs: [Epoch; EPOCHS],
    newest: u64,
    started: bool,
}

impl Windows {
    pub(super) const fn new() -> Self {
        Self { epochs: [Epoch { min: 0, max: 0 }; EPOCHS], newest: 0, started: false }
    }

    /// Notes the extremes since the last call.
    pub(super) fn record(&mut self, now_ns: u64, min: u64, max: u64) {
        let max = max.max(min);
        let now = now_ns / EPOCH_NS;
        let gap = now.saturating_sub(self.newest);
        let slot = (self.newest % EPOCHS as u64) as usize;
        if self.started {
            let epoch = &mut self.epochs[slot];
            *epoch = Epoch { min: epoch.min.min(min), max: epoch.max.max(max) };
        } else {
            self.epochs[slot] = Epoch { min, max };
            self.started = true;
        }
        for back in 0..gap.min(EPOCHS as u64) {
            self.epochs[((now - back) % EPOCHS as u64) as usize] = Epoch { min, max };
        }
        self.newest = self.newest.max(now);
    }

    /// The demand: the smaller of two bounds. One is the peak over `hold_ns`. The other is the trend (the highest minimum of
    /// an epoch in `hold_ns`) plus the largest swing within an epoch of `short_ns`.
    pub(super) fn demand(&self, hold_ns: u64, short_ns: u64) -> u64 {
        let (mut peak, mut trend, mut swing) = (0, 0, 0);
        let short = epochs_in(short_ns);
        for back in 0..epochs_in(hold_ns).min(self.newest.saturating_add(1)) {
            let epoch = &self.epochs[((self.newest - back) % EPOCHS as u64) as usize];
            peak = epoch.max.max(peak);
            trend = epoch.min.max(trend);
            if back < short {
                swing = (epoch.max - epoch.min).max(swing);
            }
        }
        peak.min(trend.saturating_add(swing))
    }
}

/// The number of epochs that cover `ns`, and the running epoch in addition.
fn epochs_in(ns: u64) -> u64 {
    (ns.div_ceil(EPOCH_NS) + 1).min(EPOCHS as u64)
}

#[cfg(test)]
mod tests {
    use super::super::tuning::{MS, SECOND};
    use super::*;

    #[test]
    fn a_peak_is_remembered_for_the_hold_and_no_longer() {
        let mut windows = Windows::new();
        windows.record(0, 100, 100);
        windows.record(100 * MS, 100, 100);
        for tick in 2..50 {
            windows.record(tick * 100 * MS, 10, 10);
            // The epoch of tick 1 is the last with 100 in it, that of tick 0 the last that never fell below.
            let expected = if tick <= 20 { 100 } else { 10 };
            assert_eq!(windows.demand(2 * SECOND, SECOND), expected, "tick {tick}");
        }
    }

    #[test]
    fn a_spike_inside_one_epoch_counts_for_the_short_window_only() {
        let mut windows = Windows::new();
        windows.record(0, 10, 10);
        windows.record(100 * MS, 10, 100);
        windows.record(200 * MS, 10, 10);
        assert_eq!(windows.demand(2 * SECOND, SECOND), 100);
        for tick in 3..20 {
            windows.record(tick * 100 * MS, 10, 10);
        }
        assert_eq!(windows.demand(2 * SECOND, SECOND), 10);
        assert_eq!(windows.demand(2 * SECOND, 2 * SECOND), 100);
    }

    #[test]
    fn a_gap_keeps_its_extremes() {
        let mut windows = Windows::new();
        windows.record(0, 5, 5);
        windows.record(100 * SECOND, 5, 80);
        assert_eq!(windows.demand(SECOND, SECOND), 80);
        assert_eq!(windows.demand(u64::MAX, 0), 80);
    }

    #[test]
    fn extreme_numbers_neither_wrap_nor_panic() {
        let mut windows = Windows::new();
        windows.record(u64::MAX, u64::MAX, 0);
        windows.record(0, 0, u64::MAX);
        assert_eq!(windows.demand(u64::MAX, u64::MAX), u64::MAX);
    }
}
