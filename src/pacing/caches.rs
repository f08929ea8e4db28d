//! When to trim depots and drain idle threads, so that caches do not hide free memory.
//!
//! Trimming goes by working sets, so it limits itself; in a quiet process it goes on while it frees anything, and a few
//! times more, as a working set takes two trims to age. Draining reaches into other threads and costs more: once per
//! stillness is enough, since idle threads fill no magazines.
//!
//! A drain always has a trim with it, even where the depots hold next to nothing: the spans that it empties would stay
//! with their classes as spares.
//!
//! Invariant: a quiet process whose caches do not change gets a bounded number of trims and drains, then none.
//!
//! Locks: none.

use super::Mode;
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

    /// Whether to trim depots and to drain idle threads. `rearm` says that something was freed since the last tick.
    pub(super) fn tick(
        &mut self,
        mode: Mode,
        passed_ns: u64,
        still_ns: u64,
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
        let still = mode == Mode::Pressure || (mode == Mode::Quiet && still_ns >= DRAIN_AFTER_NS);
        let drain = still && self.drain_armed && self.drained_ns_ago >= DRAIN_EVERY_NS;
        // A drain empties spans, and each class keeps one of them as its spare: a trim takes those.
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

    /// Whether a timer is worth it for the caches alone.
    pub(super) fn has_more_to_do(&self, mode: Mode, awake_ns: u64, cached_bytes: u64) -> bool {
        let drain = self.drain_armed && awake_ns < DRAIN_EVERY_NS;
        let trim = mode != Mode::Busy && cached_bytes >= LEAST_TRIM_BYTES && self.idle_trims < IDLE_TRIMS;
        drain || trim
    }
}
