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
        cached_bytes: u64,
    ) -> (bool, bool) {
        self.trimmed_ns_ago = self.trimmed_ns_ago.saturating_add(passed_ns);
        self.drained_ns_ago = self.drained_ns_ago.saturating_add(passed_ns);
        if rearm || mode == Mode::Busy || cached_bytes > self.seen_bytes.saturating_add(4 * LEAST_TRIM_BYTES) {
            self.idle_trims = 0;
            self.drain_armed = true;
        }
        let worth = cached_bytes >= LEAST_TRIM_BYTES;
        let idle = mode == Mode::Pressure || (mode == Mode::Quiet && quiet_ns >= DRAIN_AFTER_NS);
        let drain = idle && self.drain_armed && self.drained_ns_ago >= DRAIN_EVERY_NS;
        // A drain empties spans, and each class keeps one empty span as its spare. A trim takes these spares.
        let trim = drain
            || match mode {
                Mode::Busy => worth && self.trimmed_ns_ago >= BUSY_TRIM_NS,
                Mode::Quiet | Mode::Pressure => worth && self.idle_trims < IDLE_TRIMS,
            };
        if trim {
            let progress = cached_bytes < self.seen_bytes;
            self.idle_trims = if progress { 0 } else { self.idle_trims + 1 };
            self.seen_bytes = cached_bytes;
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
    pub(super) fn has_more_to_do(&self, mode: Mode, awake_ns: u64, cached_bytes: u64) -> bool {
        let drain = self.drain_armed && awake_ns < DRAIN_EVERY_NS;
        let trim = mode != Mode::Busy && cached_bytes >= LEAST_TRIM_BYTES && self.idle_trims < IDLE_TRIMS;
        drain || trim
    }
}
