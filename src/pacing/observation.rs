//! What a tick is told and what it answers. Only these plain numbers pass between policy and mechanism.
//!
//! Locks: none.

use super::tuning::{FLOOR_BYTES, HOLE_WAKE_BYTES, LEAST_RELEASE_BYTES, MAX_ASSIST_BYTES, MIB, WAKE_BYTES};

/// The heap as the mechanism sees it at a tick. The mechanism may read the counters one after the other without a lock. If
/// they change in between, the policy corrects itself at the next tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// A monotonic clock. It may stand still or jump; only differences between ticks are used.
    pub now_ns: u64,
    /// Pages that belong to spans, now.
    pub in_use_bytes: u64,
    /// The least of `in_use_bytes` since the last tick.
    pub in_use_min_bytes: u64,
    /// The most of `in_use_bytes` since the last tick.
    pub in_use_max_bytes: u64,
    /// Pages that are free and still backed.
    pub retained_bytes: u64,
    /// An estimate of the free, backed slots in partly used spans (part of `in_use_bytes`). Slots that share their OS page
    /// with live slots may be among them: an exhausted search shows that they cannot be released.
    pub hole_bytes: u64,
    /// Holes that are released now (part of `in_use_bytes`, not of `hole_bytes`).
    pub hole_released_bytes: u64,
    /// Free slots in depots (part of `in_use_bytes`, not of `hole_bytes`).
    pub depot_bytes: u64,
    /// Released bytes (pages and holes, fresh pages included) that were taken since the last tick, and so fault in.
    pub refaulted_bytes: u64,
    /// CPU time the scavenger has used so far.
    pub scavenger_cpu_ns: u64,
    /// CPU time the whole process has used so far, the scavenger's included.
    pub process_cpu_ns: u64,
    /// CPUs the process may use, in thousandths (a quota of one and a half is 1500).
    pub milli_cpus: u64,
    /// The memory limit, if there is one.
    pub limit_bytes: Option<u64>,
    /// The usage that counts against the limit: the cgroup's for a cgroup's limit, else the backed bytes of the heap.
    pub limit_used_bytes: u64,
    /// The cap on retained bytes, if the user has set one.
    pub retain_max_bytes: Option<u64>,
}

/// What became of the last decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Retained bytes that were released.
    pub released_bytes: u64,
    /// Hole bytes that were released.
    pub hole_released_bytes: u64,
    /// The whole heap was searched, and holds no further run that may be released. Not set if the CPU budget ended the work.
    pub pages_exhausted: bool,
    /// The same for holes.
    pub holes_exhausted: bool,
}

/// What the scavenger does now. The order of the work: drain, trim, release pages, release holes, report, wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Retained bytes to release now: 0, or at least `LEAST_RELEASE_BYTES` and at most what is retained.
    pub release_bytes: u64,
    /// Hole bytes to release now, with the same bounds.
    pub release_hole_bytes: u64,
    /// Trim the depots by their working sets and return idle page caches.
    pub trim_caches: bool,
    /// Empty the magazines of threads that sit idle.
    pub drain_idle_threads: bool,
    /// Huge pages may be split for a partial release. It is slow, but the process has the time or needs the memory.
    pub split_huge_pages: bool,
    /// Dense chunks are searched as well.
    pub include_dense: bool,
    /// The CPU time that this tick may use. The scavenger checks it between two batches.
    pub cpu_budget_ns: u64,
    /// For growth: the scavenger publishes it to the threads that allocate.
    pub goal: Goal,
    /// For frees: the scavenger publishes it to the threads that free.
    pub wake: Wake,
    /// What to do after the work.
    pub next: Next,
}

/// How the scavenger waits for its next tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Tick again after so many nanoseconds (never 0, never more than `MAX_SLEEP_NS`).
    Sleep(u64),
    /// Wait without a timer until [`Wake::is_due`].
    Park,
}

/// When a free wakes a parked scavenger, or starts it for the first time. Both fields are levels, and not sums of what was
/// freed. So a process that takes and frees the same few megabytes over and over wakes nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Retained bytes at which to wake.
    pub retained_bytes: u64,
    /// Hole bytes at which to wake: those of the last observation, and the net bytes that went back to partly used spans or
    /// depots since.
    pub hole_bytes: u64,
}

impl Wake {
    /// The levels before the first tick. A program that never frees megabytes never starts the scavenger.
    pub const INITIAL: Self = Self { retained_bytes: FLOOR_BYTES + WAKE_BYTES, hole_bytes: HOLE_WAKE_BYTES };

    /// Whether a parked scavenger has something to do.
    #[inline]
    pub const fn is_due(&self, retained_bytes: u64, hole_bytes: u64) -> bool {
        retained_bytes >= self.retained_bytes || hole_bytes >= self.hole_bytes
    }
}

/// The levels that a thread goes by when its allocation makes the heap grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Retained bytes that growth leaves alone.
    pub retained_bytes: u64,
    /// Backed bytes of the heap that growth should not pass (`u64::MAX` without a limit).
    pub backed_bytes: u64,
}

impl Goal {
    /// The levels before the first tick. With half of these retained bytes, the next large blocks faulted in again what growth
    /// had released.
    pub const INITIAL: Self = Self { retained_bytes: 32 * MIB, backed_bytes: u64::MAX };

    /// The retained bytes that a thread releases inline after it made the heap grow by `growth_bytes`. They are never more than
    /// it added, and bounded, so that one allocation never pays for the whole heap.
    pub fn growth_release_bytes(&self, retained_bytes: u64, backed_bytes: u64, growth_bytes: u64) -> u64 {
        let over_retained = retained_bytes.saturating_sub(self.retained_bytes);
        let over_limit = backed_bytes.saturating_add(growth_bytes).saturating_sub(self.backed_bytes);
        let wanted = over_retained.max(over_limit).min(retained_bytes).min(growth_bytes).min(MAX_ASSIST_BYTES);
        if wanted < LEAST_RELEASE_BYTES { 0 } else { wanted }
    }
}
