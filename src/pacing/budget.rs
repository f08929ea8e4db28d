//! The CPU budget of the scavenger in a busy process: 1 % of the available CPU time over any ten seconds.
//!
//! The budget is an account and no controller. It gains with time, up to a reserve. It pays for the CPU time that was really
//! used, and goes into debt where a batch took longer than expected. So there is no integral that could run away on a host
//! with too little CPU, and no estimate of a release's cost that could be wrong.
//!
//! Locks: none.

use super::tuning::{BUDGET_PPM, BUDGET_RESERVE_NS, SECOND};

/// The most CPUs that count (in thousandths).
const MOST_MILLI_CPUS: u64 = 1 << 20;

/// The account.
pub(super) struct Budget {
    credit_ns: u64,
    debt_ns: u64,
    // The rest of a gain, in thousandths of a nanosecond. Without it, short ticks on a small quota would gain nothing.
    fraction: u64,
    last_used_ns: Option<u64>,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self { credit_ns: 0, debt_ns: 0, fraction: 0, last_used_ns: None }
    }

    /// Takes in a tick: the time that has passed, the CPU time used so far, and whether the account pays for the CPU time
    /// since the last tick.
    pub(super) fn observe(&mut self, passed_ns: u64, used_so_far_ns: u64, milli_cpus: u64, charged: bool) {
        let used = used_so_far_ns.saturating_sub(self.last_used_ns.unwrap_or(used_so_far_ns));
        self.last_used_ns = Some(used_so_far_ns);
        let milli_cpus = milli_cpus.clamp(1, MOST_MILLI_CPUS);
        let reserve = BUDGET_RESERVE_NS / 100 * milli_cpus / 1_000;
        // In thousandths of a nanosecond: at most 64 s in microseconds x 2^20 x 8, below 2^50.
        let gain = passed_ns.min(64 * SECOND) / 1_000 * milli_cpus * (BUDGET_PPM / 1_000) + self.fraction;
        self.fraction = gain % 1_000;
        self.credit_ns += gain / 1_000;
        if charged {
            // The debt is bounded too. A scavenger that was descheduled while its CPU clock ran must not pay for minutes.
            self.debt_ns = self.debt_ns.saturating_add(used).min(4 * reserve);
        }
        let paid = self.debt_ns.min(self.credit_ns);
        self.debt_ns -= paid;
        self.credit_ns = (self.credit_ns - paid).min(reserve);
    }

    /// The CPU time that may be used now.
    pub(super) const fn available_ns(&self) -> u64 {
        self.credit_ns
    }
}

#[cfg(test)]
mod tests {
    use super::super::tuning::MS;
    use super::*;

    #[test]
    fn one_per_cent_over_ten_seconds_for_one_who_uses_all_he_gets() {
        for milli_cpus in [50, 1_000, 2_500, 64_000] {
            let mut budget = Budget::new();
            budget.observe(100 * SECOND, 0, milli_cpus, true);
            let mut used = 0;
            for _ in 0..100 {
                used += budget.available_ns();
                budget.observe(100 * MS, used, milli_cpus, true);
            }
            let available = 10 * SECOND / 1_000 * milli_cpus;
            assert!(used <= available / 100, "{milli_cpus}: {used}");
            assert!(used >= available / 125, "{milli_cpus}: {used}");
        }
    }

    #[test]
    fn short_ticks_gain_as_much_as_long_ones() {
        let mut budget = Budget::new();
        for _ in 0..1_000_000 {
            budget.observe(1_000, 0, 1, true);
        }
        assert_eq!(budget.available_ns(), SECOND / 125_000);
    }

    #[test]
    fn debt_is_paid_first_and_bounded() {
        let mut budget = Budget::new();
        budget.observe(0, 0, 1_000, true);
        budget.observe(SECOND, u64::MAX, 1_000, true);
        assert_eq!(budget.available_ns(), 0);
        let mut seconds = 0;
        while budget.available_ns() == 0 {
            budget.observe(SECOND, u64::MAX, 1_000, true);
            seconds += 1;
        }
        // The debt was four reserves of 20 ms. Each second, the first included, pays 8 ms; the last leaves a credit.
        assert_eq!(seconds, 10);
    }

    #[test]
    fn time_standing_still_gains_nothing_and_jumps_gain_the_reserve() {
        let mut budget = Budget::new();
        for _ in 0..1_000 {
            budget.observe(0, 0, 1_000, true);
        }
        assert_eq!(budget.available_ns(), 0);
        budget.observe(u64::MAX, 0, u64::MAX, true);
        assert_eq!(budget.available_ns(), BUDGET_RESERVE_NS / 100 * MOST_MILLI_CPUS / 1_000);
    }
}
