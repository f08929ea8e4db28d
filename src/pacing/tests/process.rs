//! A simulated process. Pages and holes move as a trace says, the policy ticks when it asked to, and every byte that
//! faults in again is counted. Time is only a number: nothing here sleeps.

use super::super::tuning::{MIB, MS, SECOND};
use super::super::{Goal, Next, Observation, Outcome, Pacing, Wake};

/// The load that a trace puts on the process at an instant.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// Bytes of pages in spans.
    pub(super) in_use: u64,
    /// The part of `in_use` that holds live slots. The rest is holes.
    pub(super) live: u64,
    /// CPU use in thousandths of a CPU.
    pub(super) cpu: u64,
}

impl Load {
    /// Every page in use is full.
    pub(super) fn pages(in_use_mib: u64, cpu: u64) -> Self {
        Self { in_use: in_use_mib * MIB, live: in_use_mib * MIB, cpu }
    }

    pub(super) fn with_live(self, live_mib: u64) -> Self {
        Self { live: live_mib * MIB, ..self }
    }
}

/// What happened from [`Process::mark`] on.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sums {
    pub(super) steps: u64,
    /// Free and backed, summed over the steps.
    pub(super) idle_mib: u64,
    pub(super) refaulted_mib: u64,
    pub(super) released_mib: u64,
    pub(super) ticks: u64,
    pub(super) scavenger_cpu_ns: u64,
}

impl Sums {
    pub(super) fn mean_idle_mib(&self) -> u64 {
        self.idle_mib / self.steps.max(1)
    }
}

pub(super) const STEP_NS: u64 = 10 * MS;
/// The CPU time that the simulated releases take.
const PAGE_NS_PER_MIB: u64 = 80 * MS / 1024;
const HOLE_NS_PER_MIB: u64 = 120 * MS / 1024;

pub(super) struct Process {
    pub(super) pacing: Pacing,
    pub(super) seen: Observation,
    /// Holes that share their OS pages with live slots.
    pub(super) unreleasable_holes: u64,
    /// Retained pages no search finds.
    pub(super) unreleasable_pages: u64,
    /// How much later than asked for every tick comes.
    pub(super) late_ns: u64,
    /// Free pages that are parts of huge pages, and go only where those may be split.
    pub(super) parts_bytes: u64,
    released_pages: u64,
    pub(super) wake: Wake,
    pub(super) goal: Goal,
    pub(super) due_ns: Option<u64>,
    refaulted: u64,
    released: u64,
    ticks: u64,
    steps: u64,
    idle_mib: u64,
    base: Sums,
}

impl Process {
    pub(super) fn new() -> Self {
        let mut seen = Observation { milli_cpus: 2_000, now_ns: 1_000 * SECOND, ..Observation::default() };
        seen.process_cpu_ns = 10 * MS;
        Self {
            pacing: Pacing::new(),
            seen,
            unreleasable_holes: 0,
            unreleasable_pages: 0,
            late_ns: 0,
            parts_bytes: 0,
            released_pages: 0,
            wake: Wake::INITIAL,
            goal: Goal::INITIAL,
            due_ns: None,
            refaulted: 0,
            released: 0,
            ticks: 0,
            steps: 0,
            idle_mib: 0,
            base: Sums::default(),
        }
    }

    /// Free and backed.
    pub(super) fn idle_bytes(&self) -> u64 {
        self.seen.retained_bytes + self.seen.hole_bytes
    }

    pub(super) fn is_parked(&self) -> bool {
        self.due_ns.is_none()
    }

    fn sums_so_far(&self) -> Sums {
        Sums {
            steps: self.steps,
            idle_mib: self.idle_mib,
            refaulted_mib: self.refaulted / MIB,
            released_mib: self.released / MIB,
            ticks: self.ticks,
            scavenger_cpu_ns: self.seen.scavenger_cpu_ns,
        }
    }

    /// Begins to count anew.
    pub(super) fn mark(&mut self) {
        self.base = self.sums_so_far();
    }

    pub(super) fn sums(&self) -> Sums {
        let (now, base) = (self.sums_so_far(), self.base);
        Sums {
            steps: now.steps - base.steps,
            idle_mib: now.idle_mib - base.idle_mib,
            refaulted_mib: now.refaulted_mib - base.refaulted_mib,
            released_mib: now.released_mib - base.released_mib,
            ticks: now.ticks - base.ticks,
            scavenger_cpu_ns: now.scavenger_cpu_ns - base.scavenger_cpu_ns,
        }
    }

    /// Runs a trace (`load` gets the nanoseconds since its beginning) for `ns`.
    pub(super) fn run(&mut self, ns: u64, mut load: impl FnMut(u64) -> Load) {
        for step in 0..ns / STEP_NS {
            self.step(load(step * STEP_NS));
        }
    }

    /// Runs `load` until no more than `mib` are free and backed. Returns how long it took.
    pub(super) fn time_to_give_back(&mut self, mib: u64, load: Load) -> u64 {
        let from = self.seen.now_ns;
        self.step(load);
        while self.idle_bytes() > mib * MIB {
            self.step(load);
            assert!(self.seen.now_ns - from < 120 * SECOND, "{} MiB are never given back", self.idle_bytes() / MIB);
        }
        self.seen.now_ns - from
    }

    pub(super) fn step(&mut self, load: Load) {
        self.seen.now_ns += STEP_NS;
        self.seen.process_cpu_ns += STEP_NS / 1_000 * load.cpu;
        self.move_pages(load.in_use);
        self.move_slots(load.live.min(load.in_use));
        let due = match self.due_ns {
            Some(at) => self.seen.now_ns >= at,
            None => self.wake.is_due(self.seen.retained_bytes, self.seen.hole_bytes),
        };
        if due {
            self.tick();
        }
        self.steps += 1;
        self.idle_mib += self.idle_bytes() / MIB;
    }

    fn move_pages(&mut self, in_use: u64) {
        let seen = &mut self.seen;
        if in_use > seen.in_use_bytes {
            let more = in_use - seen.in_use_bytes;
            let kept = more.min(seen.retained_bytes);
            let again = (more - kept).min(self.released_pages);
            seen.retained_bytes -= kept;
            self.released_pages -= again;
            seen.refaulted_bytes += more - kept;
            self.refaulted += again;
        } else {
            let mut less = seen.in_use_bytes - in_use;
            let holes = less.min(seen.hole_released_bytes);
            seen.hole_released_bytes -= holes;
            self.released_pages += holes;
            less -= holes;
            seen.retained_bytes += less;
        }
        seen.in_use_bytes = in_use;
        seen.in_use_min_bytes = seen.in_use_min_bytes.min(in_use);
        seen.in_use_max_bytes = seen.in_use_max_bytes.max(in_use);
    }

    fn move_slots(&mut self, live: u64) {
        let seen = &mut self.seen;
        let free = seen.in_use_bytes - live;
        if free < seen.hole_released_bytes {
            let again = seen.hole_released_bytes - free;
            seen.hole_released_bytes = free;
            seen.refaulted_bytes += again;
            self.refaulted += again;
        }
        let holes = free - seen.hole_released_bytes;
        seen.hole_bytes = holes;
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let decision = self.pacing.tick(&self.seen);
        let seen = &mut self.seen;
        assert!(decision.release_bytes <= seen.retained_bytes && decision.release_hole_bytes <= seen.hole_bytes);
        let mut cpu = decision.cpu_budget_ns;
        let mut release = |wanted: u64, there: u64, ns_per_mib: u64| {
            let affordable = cpu / ns_per_mib * MIB;
            let released = wanted.min(there).min(affordable);
            cpu -= released / MIB * ns_per_mib;
            seen.scavenger_cpu_ns += released / MIB * ns_per_mib;
            seen.process_cpu_ns += released / MIB * ns_per_mib;
            (released, released < wanted && released == there)
        };
        let parts = if decision.split_huge_pages { 0 } else { self.parts_bytes };
        let there = seen.retained_bytes.saturating_sub(self.unreleasable_pages.max(parts));
        let (pages, pages_exhausted) = release(decision.release_bytes, there, PAGE_NS_PER_MIB);
        let there = seen.hole_bytes.saturating_sub(self.unreleasable_holes);
        let (holes, holes_exhausted) = release(decision.release_hole_bytes, there, HOLE_NS_PER_MIB);
        seen.retained_bytes -= pages;
        self.released_pages += pages;
        seen.hole_bytes -= holes;
        seen.hole_released_bytes += holes;
        self.released += pages + holes;
        self.pacing.report(&Outcome {
            released_bytes: pages,
            hole_released_bytes: holes,
            pages_exhausted,
            holes_exhausted,
        });
        seen.in_use_min_bytes = seen.in_use_bytes;
        seen.in_use_max_bytes = seen.in_use_bytes;
        seen.refaulted_bytes = 0;
        (self.wake, self.goal) = (decision.wake, decision.goal);
        self.due_ns = match decision.next {
            Next::Sleep(ns) => Some(seen.now_ns + ns + self.late_ns),
            Next::Park => None,
        };
    }
}
