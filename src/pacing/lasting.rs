//! Free memory that has stood above the demand for long: the least of it over the last seconds.
//!
//! Why: to split huge pages is dear, and dearer still when the memory comes back by small pages. A busy process whose
//! kinds of objects change all the time has free memory of each kind in turn; what lasts was needed by none of them.
//!
//! Locks: none.

use super::tuning::{LASTING_BYTES, LASTING_NS};

/// The least surplus of the epoch that is over and of the running one.
pub(super) struct LastingSurplus {
    closed_bytes: u64,
    open_bytes: u64,
    open_ns: u64,
}

impl LastingSurplus {
    pub(super) const fn new() -> Self {
        Self { closed_bytes: 0, open_bytes: u64::MAX, open_ns: 0 }
    }

    /// Takes in a tick. A epoch lasts at least twice the hold that the process has taught.
    pub(super) fn observe(&mut self, passed_ns: u64, surplus: u64, learnt_ns: u64) {
        self.open_ns = self.open_ns.saturating_add(passed_ns);
        self.open_bytes = self.open_bytes.min(surplus);
        if self.open_ns >= LASTING_NS.max(learnt_ns.saturating_mul(2)) {
            (self.closed_bytes, self.open_bytes, self.open_ns) = (self.open_bytes, u64::MAX, 0);
        }
    }

    /// Memory came back: whatever seemed to last did not.
    pub(super) fn restart(&mut self) {
        *self = Self::new();
    }

    /// Whether there is enough that lasts.
    pub(super) fn is_due(&self) -> bool {
        self.closed_bytes.min(self.open_bytes) >= LASTING_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::super::tuning::{MIB, MS, SECOND};
    use super::*;

    fn run(lasting: &mut LastingSurplus, ms: u64, surplus_mib: u64, learnt_ns: u64) -> bool {
        for _ in 0..ms / 100 {
            lasting.observe(100 * MS, surplus_mib * MIB, learnt_ns);
        }
        lasting.is_due()
    }

    #[test]
    fn what_lasts_is_due_after_one_to_two_periods() {
        let mut lasting = LastingSurplus::new();
        assert!(!run(&mut lasting, 2_000, 0, 0));
        assert!(!run(&mut lasting, 3_900, 100, 0));
        assert!(run(&mut lasting, 100, 100, 0));
        assert!(!run(&mut lasting, 100, 8, 0), "a moment without it ends it");
        assert!(!run(&mut lasting, 5_000, 100, 0));
        lasting.restart();
        assert!(!run(&mut lasting, 2_900, 100, 0));
    }

    #[test]
    fn what_was_learnt_makes_the_periods_longer() {
        let mut lasting = LastingSurplus::new();
        assert!(!run(&mut lasting, 9_900, 100, 5 * SECOND));
        assert!(run(&mut lasting, 100, 100, 5 * SECOND));
    }
}
