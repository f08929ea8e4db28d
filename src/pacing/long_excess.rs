//! Excess of long standing: the least excess of the last seconds.
//!
//! Why: splitting a huge page is expensive, and more so when its memory comes back as small pages. A busy process whose
//! kinds of objects change all the time has an excess of each kind in turn. No kind needed the memory that was excess all
//! the time.
//!
//! The epochs here are much longer than those of the windows: `LONG_EXCESS_NS`, or more where a long hold has been learnt.
//!
//! Locks: none.

use super::tuning::{LONG_EXCESS_BYTES, LONG_EXCESS_NS};

/// The least excess of the last full epoch and of the running one.
pub(super) struct LongExcess {
    closed_bytes: u64,
    open_bytes: u64,
    open_ns: u64,
}

impl LongExcess {
    pub(super) const fn new() -> Self {
        Self { closed_bytes: 0, open_bytes: u64::MAX, open_ns: 0 }
    }

    /// Takes in a tick. An epoch lasts at least twice as long as the learnt hold.
    pub(super) fn observe(&mut self, passed_ns: u64, excess: u64, learnt_ns: u64) {
        self.open_ns = self.open_ns.saturating_add(passed_ns);
        self.open_bytes = self.open_bytes.min(excess);
        if self.open_ns >= LONG_EXCESS_NS.max(learnt_ns.saturating_mul(2)) {
            (self.closed_bytes, self.open_bytes, self.open_ns) = (self.open_bytes, u64::MAX, 0);
        }
    }

    /// Memory came back, so it was no excess of long standing: begins anew.
    pub(super) fn restart(&mut self) {
        *self = Self::new();
    }

    /// Whether the long excess is large enough.
    pub(super) fn is_due(&self) -> bool {
        self.closed_bytes.min(self.open_bytes) >= LONG_EXCESS_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::super::tuning::{MIB, MS, SECOND};
    use super::*;

    fn run(long_excess: &mut LongExcess, ms: u64, excess_mib: u64, learnt_ns: u64) -> bool {
        for _ in 0..ms / 100 {
            long_excess.observe(100 * MS, excess_mib * MIB, learnt_ns);
        }
        long_excess.is_due()
    }

    #[test]
    fn a_long_excess_is_due_after_one_to_two_epochs() {
        let mut long_excess = LongExcess::new();
        assert!(!run(&mut long_excess, 2_000, 0, 0));
        assert!(!run(&mut long_excess, 3_900, 100, 0));
        assert!(run(&mut long_excess, 100, 100, 0));
        assert!(!run(&mut long_excess, 100, 8, 0), "a moment with little excess ends it");
        assert!(!run(&mut long_excess, 5_000, 100, 0));
        long_excess.restart();
        assert!(!run(&mut long_excess, 2_900, 100, 0));
    }

    #[test]
    fn a_learnt_hold_makes_the_epochs_longer() {
        let mut long_excess = LongExcess::new();
        assert!(!run(&mut long_excess, 9_900, 100, 5 * SECOND));
        assert!(run(&mut long_excess, 100, 100, 5 * SECOND));
    }
}
