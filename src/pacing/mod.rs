//! Pacing: how much free memory the scavenger gives back now, and when it looks again. Policy only; the work is elsewhere.
//!
//! A tick takes an [`Observation`] and answers with a [`Decision`]. What became of the decision returns as an [`Outcome`].
//! Two pools, retained pages and holes, each keep windows of their demand (`windows`), which is their working set. The
//! memory above the demand is excess, and decays (`pool`). Four things change this basic rule:
//! - Activity. A *quiet* process has hardly used CPU time for a while, and gives its excess back soon. A *busy* process
//!   keeps peaks for longer and huge pages whole. A process that sleeps can afford a page fault later; a process that works
//!   in phases cannot. In a busy process only a long excess is worth splitting huge pages (`activity`, `long_excess`).
//! - Regret. If memory faults in again soon after its release, peaks are held as long as the interval seen. The shadow of
//!   each pool tells when this learnt hold has become useless. The hold then fades (`regret`).
//! - Pressure. Close to the limit, memory goes at once.
//! - The CPU budget of a busy process (`budget`).
//!
//! `page_terms`, below, decides how long a free page is kept. `caches` decides about depots and idle threads. `tuning` holds
//! every constant with its reason.
//!
//! Rejected: a fixed delay (wrong for some program, whatever the delay), a controller with an integral (such controllers
//! ran away elsewhere), and averages of the demand (a peak is what faults).
//!
//! Invariants
//! 1. A release is 0, or at least `LEAST_RELEASE_BYTES` and at most what the observation says is there.
//! 2. A sleep is never 0 and never above `MAX_SLEEP_NS`. Where nothing can be released, the answer is `Park`.
//! 3. No observation, however absurd, makes the policy panic, wrap, or stop releasing for good.
//!
//! Locks: none. This folder never allocates, reads no clock and calls nobody.
#![forbid(unsafe_code)]

mod activity;
mod budget;
mod caches;
mod clock;
mod long_excess;
mod mode;
mod observation;
mod pool;
mod regret;
pub mod tuning;
mod windows;

#[cfg(test)]
mod tests;

pub use observation::{Decision, Goal, Next, Observation, Outcome, Wake};

use activity::Activity;
use budget::Budget;
use caches::Caches;
use clock::Clock;
use long_excess::LongExcess;
use mode::Mode;
use pool::{Pool, Terms, View};
use regret::{LearntHold, Regret};
use tuning::*;

/// The state of the policy, of a fixed size. Each heap has one; the scavenger owns it.
pub struct Pacing {
    clock: Clock,
    activity: Activity,
    budget: Budget,
    pages: Pool,
    holes: Pool,
    regret: Regret,
    hold: LearntHold,
    long_excess: LongExcess,
    // The hold in force at the last release. Memory that comes back was kept for so long before its release.
    released_after_ns: u64,
    // Whether the CPU time until the next tick is charged to the budget.
    charged: bool,
    // The mode at the last tick, and whether huge pages could be split then.
    was: Mode,
    could_split: bool,
    steady_ticks: u32,
    awake_ns: u64,
    // The sleep that the last tick asked for; 0 if the scavenger parked.
    asked_ns: u64,
    caches: Caches,
}

impl Pacing {
    /// The policy of a heap that has just begun.
    pub const fn new() -> Self {
        Self {
            clock: Clock::new(),
            activity: Activity::new(),
            budget: Budget::new(),
            pages: Pool::new(),
            holes: Pool::new(),
            regret: Regret::new(),
            hold: LearntHold::new(),
            long_excess: LongExcess::new(),
            released_after_ns: 0,
            charged: false,
            was: Mode::Busy,
            could_split: false,
            steady_ticks: 0,
            awake_ns: 0,
            asked_ns: 0,
            caches: Caches::new(),
        }
    }

    /// Takes in what became of the last decision. The caller calls it once after each tick, before the next.
    pub fn report(&mut self, outcome: &Outcome) {
        self.pages.report(outcome.released_bytes, outcome.pages_exhausted);
        self.holes.report(outcome.hole_released_bytes, outcome.holes_exhausted);
        self.regret.released(outcome.released_bytes);
        self.regret.released(outcome.hole_released_bytes);
    }

    /// Looks at the heap and decides.
    pub fn tick(&mut self, seen: &Observation) -> Decision {
        let passed_ns = self.clock.advance(seen.now_ns);
        let now_ns = self.clock.now_ns();
        let after_gap = passed_ns >= self.asked_ns.saturating_add(4 * EPOCH_NS);
        let cpu_ns = seen.process_cpu_ns.saturating_sub(seen.scavenger_cpu_ns);
        self.activity.observe(passed_ns, self.asked_ns, cpu_ns, seen.milli_cpus);
        self.budget.observe(passed_ns, seen.scavenger_cpu_ns, seen.milli_cpus, self.charged);
        self.awake_ns = if after_gap { 0 } else { self.awake_ns.saturating_add(passed_ns) };

        let pressure = Pressure::of(seen);
        let mode_if = |quiet| match (pressure.over_bytes > 0, quiet) {
            (true, _) => Mode::Pressure,
            (false, true) => Mode::Quiet,
            (false, false) => Mode::Busy,
        };
        // A process may have been thought quiet in the middle of its work. Its next pause must be as long as the hold it taught.
        let base_mode = mode_if(self.activity.is_quiet());
        let mode = mode_if(self.activity.is_quiet() && self.activity.quiet_ns() >= self.hold.ns());
        // What the pools use and have free.
        let (pages, holes) = (page_view(seen), hole_view(seen, after_gap));
        let (page_base, hole_base) = (page_terms(base_mode, 0), hole_terms(base_mode, 0));
        self.learn(now_ns, passed_ns, seen, page_base.hold_ns);
        let page_shadow = self.pages.observe(now_ns, passed_ns, &pages, &page_base);
        let hole_shadow = self.holes.observe(now_ns, passed_ns, &holes, &hole_base);
        if page_shadow || hole_shadow {
            self.hold.confirm(now_ns);
        }

        // The excess, and the part of it that goes at this tick.
        let page_terms = page_terms(mode, self.hold.ns());
        let hole_terms = hole_terms(mode, self.hold.ns());
        // A search may leave retained pages behind because they are parts of huge pages: these pages count as excess here. Holes
        // are only searched where huge pages may be split, so holes that a search leaves behind cannot be released at all.
        let total_excess = self.pages.total_excess(&pages, &page_terms);
        let total_excess = total_excess.saturating_add(self.holes.excess(&holes, &hole_terms));
        self.long_excess.observe(passed_ns, total_excess, self.hold.ns());
        let over_cap = seen.retain_max_bytes.is_some_and(|most| seen.retained_bytes > most.saturating_add(FLOOR_BYTES));
        let split_huge_pages = mode != Mode::Busy || over_cap || self.long_excess.is_due();
        if (split_huge_pages && !self.could_split) || (mode != self.was && mode != Mode::Busy) {
            // Parts of huge pages may go now, and under pressure dense chunks count too.
            self.pages.search_again();
            self.holes.search_again();
        }
        (self.was, self.could_split) = (mode, split_huge_pages);
        let page_excess = self.pages.excess(&pages, &page_terms);
        let hole_excess = if split_huge_pages { self.holes.excess(&holes, &hole_terms) } else { 0 };
        let was_decaying = self.pages.is_decaying() || self.holes.is_decaying();
        let mut release = self.pages.plan(page_excess, passed_ns, &page_terms);
        let mut release_holes = self.holes.plan(hole_excess, passed_ns, &hole_terms);
        if let Some(most) = seen.retain_max_bytes {
            release = release.max(at_least(seen.retained_bytes.saturating_sub(most).min(self.pages.held(&pages))));
        }
        if mode == Mode::Pressure {
            release = release.max(at_least(self.pages.held(&pages).min(pressure.over_bytes)));
            let rest = pressure.over_bytes.saturating_sub(release);
            release_holes = release_holes.max(at_least(self.holes.held(&holes).min(rest)));
        }

        // The CPU time that the work may take.
        let cpu_budget_ns = if mode == Mode::Busy { self.budget.available_ns() } else { FREE_TICK_CPU_NS };
        self.charged = mode == Mode::Busy;
        let wanted = release > 0 || release_holes > 0;
        if cpu_budget_ns < LEAST_BUDGET_NS {
            (release, release_holes) = (0, 0);
        }
        if release > 0 || release_holes > 0 {
            let pause_ns = if mode == Mode::Busy { 0 } else { QUIET_AFTER_NS };
            self.released_after_ns = page_terms.hold_ns.max(pause_ns);
        }

        let begins = wanted && !was_decaying;
        let (trim_caches, drain_idle_threads) =
            self.caches.tick(mode, passed_ns, self.activity.quiet_ns(), after_gap || begins, seen.depot_bytes);
        let worked = wanted || trim_caches || drain_idle_threads;
        self.steady_ticks = if worked || mode != Mode::Busy { 0 } else { self.steady_ticks.saturating_add(1) };

        // Parts of huge pages wait until the process is quiet or the excess is long. Only a tick can notice either.
        let waits = !split_huge_pages && pages.free > FLOOR_BYTES + LEAST_RELEASE_BYTES;
        let next = self.next(now_ns, mode, worked, waits, &pages, &holes, seen);
        self.asked_ns = match next {
            Next::Sleep(ns) => ns,
            Next::Park => 0,
        };
        Decision {
            release_bytes: release,
            release_hole_bytes: release_holes,
            trim_caches,
            drain_idle_threads,
            split_huge_pages,
            include_dense: mode == Mode::Pressure,
            cpu_budget_ns,
            goal: self.goal(mode, seen, &pages, &page_terms, &pressure),
            wake: wake(mode, seen, release),
            next,
        }
    }

    /// Lengthens the hold when memory came back, shortens it when none did.
    fn learn(&mut self, now_ns: u64, passed_ns: u64, seen: &Observation, base_hold_ns: u64) {
        self.regret.advance(now_ns, passed_ns);
        self.hold.advance(now_ns, passed_ns);
        if let Some(ago_ns) = self.regret.returned(seen.refaulted_bytes) {
            let held_ns = if self.released_after_ns == 0 { base_hold_ns } else { self.released_after_ns };
            self.hold.learn(now_ns, ago_ns.saturating_add(held_ns));
            self.long_excess.restart();
        }
    }

    fn goal(&self, mode: Mode, seen: &Observation, pages: &View, terms: &Terms, pressure: &Pressure) -> Goal {
        let kept = (self.pages.goal(pages, terms) - pages.used).max(pages.used / 8).max(WAKE_BYTES);
        let kept = if mode == Mode::Pressure { FLOOR_BYTES } else { kept };
        Goal { retained_bytes: kept.min(seen.retain_max_bytes.unwrap_or(u64::MAX)), backed_bytes: pressure.line_bytes }
    }

    #[allow(clippy::too_many_arguments, reason = "one caller, and all of it is one tick's state")]
    fn next(
        &self,
        now_ns: u64,
        mode: Mode,
        worked: bool,
        waits: bool,
        pages: &View,
        holes: &View,
        seen: &Observation,
    ) -> Next {
        let step_ns = if mode == Mode::Busy { HOLD_SLEEP_NS } else { STEP_SLEEP_NS };
        if worked {
            return Next::Sleep(step_ns);
        }
        let held = self.pages.held(pages) >= LEAST_RELEASE_BYTES || self.holes.held(holes) >= QUIET_HOLE_START_BYTES;
        if held || waits {
            let least_ns = if self.steady_ticks > 10 { STEADY_SLEEP_NS } else { HOLD_SLEEP_NS };
            Next::Sleep((self.hold.ns() / LOOKS_PER_HOLD).clamp(least_ns, MAX_HOLD_SLEEP_NS))
        } else if self.caches.has_more_to_do(mode, self.awake_ns, seen.depot_bytes) {
            Next::Sleep(HOLD_SLEEP_NS)
        } else {
            match (self.pages.retry_at_ns(), self.holes.retry_at_ns()) {
                (None, None) => Next::Park,
                (a, b) => {
                    let at_ns = a.unwrap_or(u64::MAX).min(b.unwrap_or(u64::MAX));
                    Next::Sleep(at_ns.saturating_sub(now_ns).clamp(HOLD_SLEEP_NS, MAX_SLEEP_NS))
                }
            }
        }
    }
}

impl Default for Pacing {
    fn default() -> Self {
        Self::new()
    }
}

/// How far memory in use is above the limit's line.
struct Pressure {
    /// Where pressure starts; `u64::MAX` without a limit.
    line_bytes: u64,
    /// Bytes to release so that usage is below the line with headroom; 0 without pressure.
    over_bytes: u64,
}

impl Pressure {
    fn of(seen: &Observation) -> Self {
        let Some(limit) = seen.limit_bytes else { return Self { line_bytes: u64::MAX, over_bytes: 0 } };
        let line_bytes = limit - limit / PRESSURE_PART;
        let headroom = (limit / HEADROOM_PART).max(MIB);
        let over = seen.limit_used_bytes.saturating_sub(line_bytes);
        Self { line_bytes, over_bytes: if over == 0 { 0 } else { over.saturating_add(headroom) } }
    }
}

fn at_least(bytes: u64) -> u64 {
    if bytes < LEAST_RELEASE_BYTES { 0 } else { bytes }
}

fn page_view(seen: &Observation) -> View {
    View {
        used: seen.in_use_bytes,
        used_min: seen.in_use_min_bytes.min(seen.in_use_bytes),
        used_max: seen.in_use_max_bytes.max(seen.in_use_bytes),
        free: seen.retained_bytes,
    }
}

fn hole_view(seen: &Observation, after_gap: bool) -> View {
    let live = |in_use: u64| in_use.saturating_sub(seen.hole_released_bytes);
    let used = live(seen.in_use_bytes).saturating_sub(seen.hole_bytes).saturating_sub(seen.depot_bytes);
    // Holes are only known at ticks. After a long pause this is the best bound on the live memory in between.
    let used_max = if after_gap { live(seen.in_use_max_bytes).max(used) } else { used };
    View { used, used_min: used, used_max, free: seen.hole_bytes }
}

/// The terms for retained pages. A free page is kept for `hold_ns` after the demand last needed it. Then its excess decays.
fn page_terms(mode: Mode, learnt_ns: u64) -> Terms {
    let quiet = mode != Mode::Busy;
    let base_ns = if quiet { QUIET_HOLD_NS } else { BUSY_HOLD_NS };
    Terms {
        hold_ns: base_ns.max(learnt_ns),
        short_ns: (base_ns / 2).max(learnt_ns),
        margin_part: if quiet { 0 } else { BUSY_MARGIN_PART },
        start_bytes: if quiet { LEAST_RELEASE_BYTES } else { BUSY_START_BYTES },
        decay_ns: if quiet { QUIET_DECAY_NS } else { BUSY_DECAY_NS },
    }
}

/// The terms for holes: the hold and the decay of pages, with a larger margin and a larger start.
fn hole_terms(mode: Mode, learnt_ns: u64) -> Terms {
    let quiet = mode != Mode::Busy;
    Terms {
        margin_part: if quiet { 0 } else { BUSY_HOLE_MARGIN_PART },
        start_bytes: if quiet { QUIET_HOLE_START_BYTES } else { BUSY_HOLE_START_BYTES },
        ..page_terms(mode, learnt_ns)
    }
}

fn wake(mode: Mode, seen: &Observation, release: u64) -> Wake {
    let pressure = mode == Mode::Pressure;
    let (step, hole_step) = if pressure { (PRESSURE_WAKE_BYTES, WAKE_BYTES) } else { (WAKE_BYTES, HOLE_WAKE_BYTES) };
    let retained = seen.retained_bytes.saturating_sub(release).max(FLOOR_BYTES);
    Wake {
        retained_bytes: retained.saturating_add(step),
        hole_bytes: seen.hole_bytes.saturating_add(seen.depot_bytes).saturating_add(hole_step.max(seen.hole_bytes / 8)),
    }
}
