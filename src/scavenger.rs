//! The background scavenger: it observes the heap, asks the policy, does what the policy says, and waits.
//!
//! The policy (`pacing`) is pure and decides; this file acts. The same tick serves the scavenger's thread and a process
//! without it. If the thread is switched off, a slow path does the tick inline once it is due, and within a smaller bound.
//!
//! **The thread ends** when it had nothing to do for a while (`PATIENCE_NS`). So a process that has nothing to release may do
//! what only single-threaded processes may. The state outlives the thread, so the policy forgets nothing.
//!
//! The thread must not keep the process alive, so it also looks whether it is the last thread. The last thread that gives its
//! cache back wakes it (`Wakeup::wake_now`).
//!
//! Locks: none is held here. The heap takes its locks one at a time, and holds none during a release.

use core::ptr::null;

use crate::accounts::Parked;
use crate::config::cgroup::Cgroup;
use crate::config::{Config, Limit};
use crate::heap::Heap;
use crate::pacing::tuning::STEP_SLEEP_NS;
use crate::pacing::{Decision, Next, Observation, Outcome, Pacing};
use crate::page_heap::ReleaseOptions;
use crate::sys;

/// The cgroup's limits are read again after this time, because containers can be resized.
const LIMITS_AGE_NS: u64 = 5_000_000_000;
/// A span is at rest once no slot of it was freed for this many ticks: its holes are worth releasing.
const RESTING_TICKS: u32 = 1;
/// The thread ends after this time without work.
const PATIENCE_NS: u64 = 1_000_000_000;
/// The first time that the thread waits before it looks again whether it is the process's last thread. Each wait is twice as
/// long as the wait before.
const FIRST_LOOK_NS: u64 = 1_000_000;
/// The longest such wait.
const MAX_LOOK_NS: u64 = 1_000_000_000;
/// The CPU time of a tick on a thread of the program. The tick looks at the clock between two batches.
const INLINE_CPU_NS: u64 = 2_000_000;

/// The scavenger's state. One thread at a time owns it.
pub struct Scavenger {
    pacing: Pacing,
    config: Config,
    limits: Cgroup,
    limits_read_ns: Option<u64>,
    cpu_ns: u64,
    faulted_seen: usize,
}

impl Scavenger {
    /// A scavenger that has seen nothing yet.
    pub const fn new(config: Config) -> Self {
        Self { pacing: Pacing::new(), config, limits: Cgroup::NONE, limits_read_ns: None, cpu_ns: 0, faulted_seen: 0 }
    }

    /// Works as the thread, until there is nothing to do, or until the thread is the process's last.
    pub fn run(&mut self, heap: &Heap) {
        loop {
            match self.tick(heap, u64::MAX) {
                Next::Sleep(ns) if sleep(heap, ns) => return,
                Next::Sleep(_) => {}
                Next::Park => return,
            }
        }
    }

    /// Does one tick on a thread of the program. Returns in how many nanoseconds the next tick is due; `None` if the next tick is
    /// due at a wake-up.
    pub fn tick_inline(&mut self, heap: &Heap) -> Option<u64> {
        match self.tick(heap, INLINE_CPU_NS) {
            Next::Sleep(ns) => Some(ns),
            Next::Park => None,
        }
    }

    /// Observes, decides and works. The work takes about `most_cpu_ns` of CPU time at most.
    fn tick(&mut self, heap: &Heap, most_cpu_ns: u64) -> Next {
        let begin_cpu_ns = sys::thread::thread_cpu_time_ns();
        heap.accounts().counters.next_tick();
        let seen = self.observe(heap);
        let decision = self.pacing.tick(&seen);
        heap.accounts().wakeup.publish(decision.wake, decision.goal);
        let (outcome, has_more) = work(heap, &decision, begin_cpu_ns, most_cpu_ns);
        self.pacing.report(&outcome);
        self.cpu_ns += sys::thread::thread_cpu_time_ns().saturating_sub(begin_cpu_ns);
        heap.accounts().counters.set_scavenger_cpu_ns(self.cpu_ns);
        // A scavenger parks only when its work is done: no wake-up would come for huge pages that wait to be split.
        if has_more && decision.next == Next::Park { Next::Sleep(STEP_SLEEP_NS) } else { decision.next }
    }

    fn observe(&mut self, heap: &Heap) -> Observation {
        let now_ns = sys::time::monotonic_ns();
        if self.limits_read_ns.is_none_or(|then| now_ns.saturating_sub(then) >= LIMITS_AGE_NS) {
            self.limits = Cgroup::find(sys::file::read_small);
            self.limits_read_ns = Some(now_ns);
        }
        let counters = &heap.accounts().counters;
        let (in_use_min, in_use_max) = counters.take_in_use_range();
        let faulted = counters.faulted_total();
        let refaulted_bytes = faulted.wrapping_sub(core::mem::replace(&mut self.faulted_seen, faulted));
        let retained_bytes = counters.retained_bytes() as u64;
        let hole_bytes = counters.unreleased_hole_bytes() as u64;
        let in_use_bytes = counters.in_use_bytes() as u64;
        let hole_released_bytes = counters.released_hole_bytes() as u64;
        let backed = (in_use_bytes + retained_bytes).saturating_sub(hole_released_bytes);
        let (limit_bytes, limit_used_bytes) = match self.config.limit {
            Limit::None => (None, 0),
            Limit::Bytes(bytes) => (Some(bytes), backed),
            Limit::Cgroup => (self.limits.limit_bytes, self.limits.used_bytes(sys::file::read_small).unwrap_or(backed)),
        };
        let milli_cpus = 1000 * sys::thread::cpus_available() as u64;
        Observation {
            now_ns,
            in_use_bytes,
            in_use_min_bytes: in_use_min as u64,
            in_use_max_bytes: in_use_max as u64,
            retained_bytes,
            hole_bytes,
            hole_released_bytes,
            depot_bytes: counters.depot_bytes() as u64,
            refaulted_bytes: refaulted_bytes as u64,
            scavenger_cpu_ns: self.cpu_ns,
            process_cpu_ns: sys::thread::process_cpu_time_ns(),
            milli_cpus: self.limits.milli_cpus.map_or(milli_cpus, |quota| quota.min(milli_cpus)),
            limit_bytes,
            limit_used_bytes,
            retain_max_bytes: self.config.retain_max_bytes,
        }
    }
}

/// Waits for work, as the thread. `false` if the thread ends, because no work came or because it is the process's last.
pub fn rest(heap: &Heap) -> bool {
    if !heap.caches().has_caches() {
        // The last thread of the program may be about to end.
        if sleep(heap, PATIENCE_NS) {
            return false;
        }
        if !may_end(heap) {
            return true;
        }
    }
    let patience_ns = may_end(heap).then_some(PATIENCE_NS);
    if !heap.caches().has_caches() {
        // Large objects alone need no cache: this is a process at work.
        return heap.accounts().wakeup.park(patience_ns, || heap.synchronized_levels()) == Parked::Woken;
    }
    // If frees start no thread, the levels count all bytes that frees could still add.
    let to_come = || if cfg!(serves_c) && patience_ns.is_some() { in_use_bytes(heap) } else { 0 };
    heap.accounts().wakeup.park(patience_ns, || heap.levels_before_parking(to_come())) == Parked::Woken
}

/// Whether the calling thread is the only thread of the process.
pub fn is_last(heap: &Heap) -> bool {
    !heap.caches().has_caches() && sys::thread::is_last()
}

fn in_use_bytes(heap: &Heap) -> u64 {
    heap.accounts().counters.in_use_bytes() as u64
}

/// Whether the thread may end now, because it would be started again in time.
#[cfg(not(serves_c))]
fn may_end(_heap: &Heap) -> bool {
    true
}

/// Whether the thread may end now. In builds that serve C, frees start no thread. So an allocation must come before frees that
/// make work, and must ask for the thread.
#[cfg(serves_c)]
fn may_end(heap: &Heap) -> bool {
    let (retained, holes) = heap.accounts().levels();
    let wakeup = &heap.accounts().wakeup;
    let Some(bytes) = wakeup.out_of_reach(retained, holes, in_use_bytes(heap)) else { return false };
    wakeup.set_ask_ahead(bytes);
    true
}

/// Sleeps for `ns`. `true`, perhaps earlier, if the thread is the process's last.
fn sleep(heap: &Heap, ns: u64) -> bool {
    let (mut left_ns, mut look_ns) = (ns, FIRST_LOOK_NS);
    while left_ns != 0 {
        if heap.caches().has_caches() {
            heap.accounts().wakeup.sleep(left_ns);
            return false;
        }
        if is_last(heap) {
            return true;
        }
        let part_ns = left_ns.min(look_ns);
        heap.accounts().wakeup.sleep(part_ns);
        left_ns -= part_ns;
        look_ns = (2 * look_ns).min(MAX_LOOK_NS);
    }
    false
}

/// Does what the policy decided. Also returns whether huge pages are left to be split.
fn work(heap: &Heap, decision: &Decision, begin_cpu_ns: u64, most_cpu_ns: u64) -> (Outcome, bool) {
    let options = ReleaseOptions {
        include_dense: decision.include_dense,
        split_huge_pages: decision.split_huge_pages,
        until_cpu_ns: Some(begin_cpu_ns.saturating_add(decision.cpu_budget_ns.min(most_cpu_ns))),
    };
    if decision.drain_idle_threads {
        // The whole process is still, so every thread counts as idle. A thread that works after all pays with a slow path.
        heap.caches().drain(null());
    }
    if decision.trim_caches {
        heap.caches().trim(false);
    }
    let mut outcome = Outcome::default();
    if decision.release_bytes != 0 {
        let scavenged = heap.page_heaps().scavenge(decision.release_bytes as usize, options);
        outcome.released_bytes = scavenged.bytes as u64;
        outcome.pages_exhausted = scavenged.exhausted;
    }
    if decision.release_hole_bytes != 0 {
        let scavenged = heap.centrals().release_holes(decision.release_hole_bytes as usize, RESTING_TICKS, options);
        outcome.hole_released_bytes = scavenged.bytes as u64;
        outcome.holes_exhausted = scavenged.exhausted;
    }
    // Splits come last, when both releases have released what they could of a huge page.
    let has_more = heap.page_heaps().split_huge_pages(usize::MAX, options);
    (outcome, has_more)
}
