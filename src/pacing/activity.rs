//! Quiet or busy: whether the process itself uses CPU time, and for how long it has not.
//!
//! A burst that is over and a load between two phases leave the same memory behind. Only their CPU time differs. A process
//! that sleeps loses little by a page fault later, and loses no CPU time by a release now. The scavenger's own CPU time does
//! not count: its work must not keep the process from being quiet.
//!
//! A pause is no end. A load that works every second pauses for nearly a second. So a process is quiet only after
//! [`QUIET_AFTER_NS`]. If its memory came back after longer pauses, it is quiet only after the learnt hold.
//!
//! Locks: none.

use super::tuning::{BUSY_MILLI_CPUS, EPOCH_NS, JUDGE_OVER_NS, QUIET_AFTER_NS, QUIET_MILLI_CPUS};

/// The CPU use of the process over the last ticks.
pub(super) struct Activity {
    last_cpu_ns: Option<u64>,
    open_wall_ns: u64,
    // The part of `open_wall_ns` that counts as watched.
    open_watched_ns: u64,
    open_cpu_ns: u64,
    quiet_ns: u64,
}

impl Activity {
    pub(super) const fn new() -> Self {
        Self { last_cpu_ns: None, open_wall_ns: 0, open_watched_ns: 0, open_cpu_ns: 0, quiet_ns: 0 }
    }

    /// Takes in a tick: the time that has passed, how long the scavenger meant to sleep, and the CPU time used so far by all
    /// threads but the scavenger.
    pub(super) fn observe(&mut self, passed_ns: u64, asked_ns: u64, cpu_ns: u64, milli_cpus: u64) {
        let used = cpu_ns.saturating_sub(self.last_cpu_ns.unwrap_or(cpu_ns));
        self.last_cpu_ns = Some(cpu_ns);
        self.open_cpu_ns = self.open_cpu_ns.saturating_add(used);
        self.open_wall_ns = self.open_wall_ns.saturating_add(passed_ns);
        // Little is known of a gap that is much longer than the scavenger meant to sleep. It is one sign of quiet, not many.
        self.open_watched_ns =
            self.open_watched_ns.saturating_add(passed_ns.min(asked_ns.max(EPOCH_NS).saturating_mul(2)));
        if self.open_wall_ns < JUDGE_OVER_NS {
            return;
        }
        let share = self.open_cpu_ns.saturating_mul(1_000) / self.open_wall_ns;
        // Where a quota leaves less than one CPU, the thresholds shrink with the quota.
        let scale = milli_cpus.clamp(1, 1_000);
        if share.saturating_mul(1_000) >= BUSY_MILLI_CPUS * scale {
            self.quiet_ns = 0;
        } else if share.saturating_mul(1_000) < QUIET_MILLI_CPUS * scale || self.is_quiet() {
            self.quiet_ns = self.quiet_ns.saturating_add(self.open_watched_ns);
        }
        (self.open_wall_ns, self.open_watched_ns, self.open_cpu_ns) = (0, 0, 0);
    }

    /// Whether the process has used hardly any CPU time for [`QUIET_AFTER_NS`].
    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet_ns >= QUIET_AFTER_NS
    }

    /// For how long the process has used hardly any CPU time (without most of a gap).
    pub(super) const fn quiet_ns(&self) -> u64 {
        self.quiet_ns
    }
}

#[cfg(test)]
mod tests {
    use super::super::tuning::{MS, SECOND};
    use super::*;

    #[test]
    fn quiet_takes_a_second_without_cpu_time_and_one_busy_tick_ends_it() {
        let mut activity = Activity::new();
        let mut cpu = 0;
        let mut tick = |wall_ms: u64, cpu_ms: u64| {
            cpu += cpu_ms * MS;
            activity.observe(wall_ms * MS, 200 * MS, cpu, 2_000);
            activity.is_quiet()
        };
        assert!((0..4).all(|_| !tick(200, 5)));
        assert!(tick(200, 5));
        assert!(tick(100, 15), "between the thresholds it stays what it was");
        assert!(!tick(100, 20));
        assert!(!tick(100, 15));
        assert!((0..2).all(|_| !tick(10_000, 1)), "a long gap is one sign only");
        assert!(tick(200, 1));
    }

    #[test]
    fn the_thresholds_and_the_shortest_interval_are_exact() {
        let still_quiet = |ticks: u64, wall_ms: u64, cpu_ms: u64| {
            let mut activity = Activity::new();
            let mut cpu = 0;
            (0..ticks).for_each(|_| {
                activity.observe(wall_ms * MS, 200 * MS, cpu, 1_000);
                cpu += cpu_ms * MS;
            });
            activity.is_quiet()
        };
        assert!(still_quiet(6, 200, 19) && !still_quiet(6, 200, 20));
        let mut activity = Activity::new();
        activity.observe(SECOND, SECOND, 0, 1_000);
        assert!(activity.is_quiet());
        activity.observe(20 * MS - 1, SECOND, 19 * MS, 1_000);
        assert!(activity.is_quiet(), "too short an interval to judge");
        activity.observe(1, SECOND, 19 * MS, 1_000);
        assert!(!activity.is_quiet());
    }

    #[test]
    fn a_small_quota_scales_the_thresholds() {
        let mut activity = Activity::new();
        for tick in 0..20 {
            activity.observe(100 * MS, 0, tick * 3 * MS, 100);
        }
        assert!(!activity.is_quiet(), "3 % of a CPU is 30 % of a quota of 0.1");
    }

    #[test]
    fn ticks_without_time_judge_nothing() {
        let mut activity = Activity::new();
        for _ in 0..1_000 {
            activity.observe(0, 0, 0, 1_000);
        }
        assert!(!activity.is_quiet());
        activity.observe(u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        activity.observe(u64::MAX, u64::MAX, 0, 0);
    }
}
