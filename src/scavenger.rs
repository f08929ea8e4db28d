//! The background scavenger: looks at the heap, asks the policy, does what it says, waits.
//!
//! The policy (`pacing`) is pure; this is its hands. The same tick serves the thread and, where the thread is switched
//! off, whoever happens to come by on a slow path once the next tick is due: the work of a tick is then done inline, and
//! is bounded more tightly.
//!
//! **The thread ends** when nothing was to be done for a second: a process that has nothing to give back has no thread but
//! its own, so it may do what single-threaded processes may. The state outlives the thread: what the policy has learnt
//! stays. The thread also looks whether it is the process's last, which it must not keep alive: where no thread has a cache
//! any more, the last of them has waked it (`Wakeup::wake_now`).
//!
//! Locks: none is held here; the heap takes its own, one at a time, and never across a release.

use core::ptr::null;

use crate::accounts::Parked;
use crate::config::cgroup::Cgroup;
use crate::config::{Config, Limit};
use crate::heap::Heap;
use crate::pacing::tuning::STEP_SLEEP_NS;
use crate::pacing::{Decision, Next, Observation, Outcome, Pacing};
use crate::page_heap::ReleaseOptions;
use crate::sys;

/// The cgroup's limits are looked at again after so long: containers can be resized.
const LIMITS_AGE_NS: u64 = 5_000_000_000;
/// A span whose slots were freed this many ticks ago is at rest: its holes are worth releasing.
const RESTING_TICKS: u32 = 1;
/// The thread ends when nothing was to be done for so long.
const PATIENCE_NS: u64 = 1_000_000_000;
/// How often the thread looks whether it is the last: at first, and at most.
const FIRST_LOOK_NS: u64 = 1_000_000;
const MAX_LOOK_NS: u64 = 1_000_000_000;
/// What a tick on a program's own thread may take: it looks at the clock between two batches.
const INLINE_CPU_NS: u64 = 2_000_000;

/// The scavenger's state: one owner at a time.
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

    /// The thread's work, until there is nothing to do, or the thread is the process's last.
    pub fn run(&mut self, heap: &Heap) {
        loop {
            match self.tick(heap, u64::MAX) {
                Next::Sleep(ns) if sleep(heap, ns) => return,
                Next::Sleep(_) => {}
                Next::Park => return,
            }
        }
    }

    /// Does one tick on the caller's time, where there is no thread. Returns in how many nanoseconds the next tick is due;
    /// `None` if the next tick is due at a wake-up.
    pub fn tick_inline(&mut self, heap: &Heap) -> Option<u64> {
        match self.tick(heap, INLINE_CPU_NS) {
            Next::Sleep(ns) => Some(ns),
            Next::Park => None,
        }
    }

    /// Looks, decides, works; the work takes about `most_cpu_ns` at most.
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
        // Whoever parks is done: nothing else would wake it for huge pages that wait to be split.
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
        let hole_released_bytes = counters.hole_bytes() as u64;
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
            cached_bytes: counters.depot_bytes() as u64,
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

/// Waits for work, as the thread. `false` if the thread ends: nothing came, or it is the process's last.
pub fn rest(heap: &Heap) -> bool {
    if !heap.caches().has_caches() {
        // Perhaps the last thread of the program is about to end.
        if sleep(heap, PATIENCE_NS) {
            return false;
        }
        if !may_end(heap) {
            return true;
        }
    }
    let patience_ns = may_end(heap).then_some(PATIENCE_NS);
    let parked = heap.accounts().wakeup.park(patience_ns, || {
        let (retained, holes) = heap.synchronized_levels();
        // Where frees start no thread, what they could raise the levels by counts.
        let to_come = if cfg!(serves_c) && patience_ns.is_some() { in_use_bytes(heap) } else { 0 };
        (retained + to_come, holes + to_come)
    });
    parked == Parked::Woken
}

/// Whether the process has no other thread than the calling one.
pub fn is_last(heap: &Heap) -> bool {
    !heap.caches().has_caches() && sys::thread::is_last()
}

fn in_use_bytes(heap: &Heap) -> u64 {
    heap.accounts().counters.in_use_bytes() as u64
}

/// Whether a thread that ends now is started again in time.
#[cfg(not(serves_c))]
fn may_end(_heap: &Heap) -> bool {
    true
}

/// The same where frees start no thread: an allocation must come before them, and ask for it.
#[cfg(serves_c)]
fn may_end(heap: &Heap) -> bool {
    let (retained, holes) = heap.accounts().levels();
    let wakeup = &heap.accounts().wakeup;
    let Some(bytes) = wakeup.out_of_reach(retained, holes, in_use_bytes(heap)) else { return false };
    wakeup.set_ask_ahead(bytes);
    true
}

/// Sleeps; `true` if the thread is the process's last by then.
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

/// Does what the policy decided. The second answer is whether huge pages are left to be split.
fn work(heap: &Heap, decision: &Decision, begin_cpu_ns: u64, most_cpu_ns: u64) -> (Outcome, bool) {
    let options = ReleaseOptions {
        include_dense: decision.include_dense,
        split_huge_pages: decision.split_huge_pages,
        until_cpu_ns: Some(begin_cpu_ns.saturating_add(decision.cpu_budget_ns.min(most_cpu_ns))),
    };
    if decision.drain_idle_threads {
        // The whole process is still, so every thread counts as idle; one that is not pays a slow path.
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
    // Now that both have released what they could of a huge page.
    let has_more = heap.page_heaps().split_huge_pages(usize::MAX, options);
    (outcome, has_more)
}
