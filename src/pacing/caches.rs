//! When to trim depots and drain idle threads, so that caches do not hide free memory.
//!
//! A trim goes by the working sets of the depots, so it limits itself. In a quiet process trims go on while they free
//! anything, and a few times more, because a working set takes two trims to age. A drain reaches into other threads and
//! costs more. One drain is enough while the process stays quiet, since idle threads fill no magazines.
//!
//! A trim comes with every drain, even where the depots hold next to nothing. Without it the spans that the drain empties
//! would stay with their classes as spares.
//!
//! Invariant: a quiet process whose caches do not change gets a bounded number of trims and drains, then none.
//!
//! Locks: none.

use super::mode::Mode;
use super::tuning::*;

/// When caches were last looked after.
pub(super) struct Caches {
    trimmed_ns_ago: u64,
    drained_ns_ago: u64,
    seen_bytes: u64,
    idle_trims: u32,
    drain_armed: bool,
}

impl Caches {
    pub(super) const fn new() -> Self {
        Self { trimmed_ns_ago: u64::MAX, drained_ns_ago: u64::MAX, seen_bytes: 0, idle_trims: 0, drain_armed: true }
    }

    /// Whether to trim depots, and whether to drain idle threads. `rearm`: something was freed since the last tick.
    pub(super) fn tick(
        &mut self,
        mode: Mode,
        passed_ns: u64,
        quiet_ns: u64,
        rearm: bool,
        depot_bytes: u64,
    ) -> (bool, bool) {
        self.trimmed_ns_ago = self.trimmed_ns_ago.saturating_add(passed_ns);
        self.drained_ns_ago = self.drained_ns_ago.saturating_add(passed_ns);
        if rearm || mode == Mode::Busy || depot_bytes > self.seen_bytes.saturating_add(4 * LEAST_TRIM_BYTES) {
            self.idle_trims = 0;
            self.drain_armed = true;
        }
        let worth = depot_bytes >= LEAST_TRIM_BYTES;
        let idle = mode == Mode::Pressure || (mode == Mode::Quiet && quiet_ns >= DRAIN_AFTER_NS);
        let drain = idle && self.drain_armed && self.drained_ns_ago >= DRAIN_EVERY_NS;
        // A drain empties spans, and each class keeps one empty span as its spare. A trim takes these spares.
        let trim = drain
            || match mode {
                Mode::Busy => worth && self.trimmed_ns_ago >= BUSY_TRIM_NS,
                Mode::Quiet | Mode::Pressure => worth && self.idle_trims < IDLE_TRIMS,
            };
        if trim {
            let progress = depot_bytes < self.seen_bytes;
            self.idle_trims = if progress { 0 } else { self.idle_trims + 1 };
            self.seen_bytes = depot_bytes;
            self.trimmed_ns_ago = 0;
        }
        if drain {
            self.drain_armed = false;
            self.drained_ns_ago = 0;
            self.idle_trims = 0;
        }
        (trim, drain)
    }

    /// Whether the caches alone are worth another tick.
    pub(super) fn has_more_to_do(&self, mode: Mode, awake_ns: u64, depot_bytes: u64) -> bool {
        let drain = self.drain_armed && awake_ns < DRAIN_EVERY_NS;
        let trim = mode != Mode::Busy && depot_bytes >= LEAST_TRIM_BYTES && self.idle_trims < IDLE_TRIMS;
        drain || trim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: u64 = 100 * MS;

    /// The ticks (one every 0.1 s, from number 0) at which so much cached memory is trimmed.
    fn trims(mode: Mode, ticks: u64, mut cached: impl FnMut(u64) -> u64) -> std::vec::Vec<u64> {
        let mut caches = Caches::new();
        (0..ticks).filter(|&tick| caches.tick(mode, STEP, 0, false, cached(tick)).0).collect()
    }

    #[test]
    fn a_busy_process_is_trimmed_in_intervals_if_it_is_worth_it() {
        assert_eq!(trims(Mode::Busy, 12, |_| LEAST_TRIM_BYTES), [0, 5, 10]);
        assert_eq!(trims(Mode::Busy, 12, |_| LEAST_TRIM_BYTES - 1), []);
    }

    #[test]
    fn a_quiet_process_is_trimmed_while_trims_free_anything_and_then_no_more_than_three_times() {
        assert_eq!(trims(Mode::Quiet, 12, |_| MIB), [0, 1, 2]);
        assert_eq!(trims(Mode::Quiet, 12, |tick| MIB * (8 - tick.min(6))), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(trims(Mode::Quiet, 12, |_| LEAST_TRIM_BYTES - 1), []);
    }

    #[test]
    fn more_cached_memory_than_a_trim_has_seen_begins_anew() {
        for (more, trimmed_again) in [(0, false), (4 * LEAST_TRIM_BYTES, false), (4 * LEAST_TRIM_BYTES + 1, true)] {
            let again = trims(Mode::Quiet, 12, |tick| if tick < 10 { MIB } else { MIB + more });
            assert_eq!(again.contains(&10), trimmed_again, "{more}: {again:?}");
        }
    }

    #[test]
    fn a_drain_comes_once_has_a_trim_with_it_and_waits_for_an_idle_process() {
        let mut caches = Caches::new();
        assert_eq!(caches.tick(Mode::Quiet, STEP, 300 * MS - 1, false, 0), (false, false));
        assert_eq!(caches.tick(Mode::Busy, STEP, SECOND, false, 0), (false, false));
        assert_eq!(caches.tick(Mode::Quiet, STEP, 300 * MS, false, 0), (true, true));
        assert_eq!(caches.tick(Mode::Quiet, STEP, SECOND, false, 0), (false, false));
        // Something was freed: another drain follows, once the last is long enough ago.
        assert_eq!(caches.tick(Mode::Quiet, STEP, SECOND, true, 0), (false, false));
        assert_eq!(caches.tick(Mode::Quiet, DRAIN_EVERY_NS - 2 * STEP - 1, SECOND, false, 0), (false, false));
        assert_eq!(caches.tick(Mode::Quiet, 1, SECOND, false, 0), (true, true));
        assert_eq!(caches.tick(Mode::Pressure, DRAIN_EVERY_NS, 0, true, 0), (true, true), "pressure does not wait");
    }

    #[test]
    fn a_tick_for_the_caches_alone() {
        let mut caches = Caches::new();
        assert!(caches.has_more_to_do(Mode::Busy, DRAIN_EVERY_NS - 1, 0), "a drain may come");
        assert!(!caches.has_more_to_do(Mode::Busy, DRAIN_EVERY_NS, 0), "awake for long enough for a drain");
        let rest = |caches: &Caches, mode, cached| caches.has_more_to_do(mode, DRAIN_EVERY_NS, cached);
        assert!(!rest(&caches, Mode::Busy, MIB) && !rest(&caches, Mode::Quiet, LEAST_TRIM_BYTES - 1));
        assert!(rest(&caches, Mode::Quiet, LEAST_TRIM_BYTES) && rest(&caches, Mode::Pressure, MIB));
        for _ in 0..IDLE_TRIMS {
            assert!(rest(&caches, Mode::Quiet, MIB));
            caches.tick(Mode::Quiet, STEP, 0, false, MIB);
        }
        assert!(!rest(&caches, Mode::Quiet, MIB), "trims free nothing any more");
    }
}
