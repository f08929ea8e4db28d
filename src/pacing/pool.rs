//! One kind of free memory, retained pages or holes: how much of it stands above the demand, and how it is let go.
//!
//! A pool lives in the plane `backed = used + free`. Its goal is what should stay backed: the demand and a margin, at
//! least what is used and a floor. What stands above is the surplus; it is released along an exponential decay with a
//! least step, so that it is smooth at first and yet ends.
//!
//! The *shadow* is a pool that never learnt: it forgets after the base hold. Where it would have had to fault memory in
//! again that is still there, the learnt hold has proven itself, which the absence of faults alone cannot tell.
//!
//! Invariants
//! 1. A plan is 0, or at least 64 KiB and at most what is free.
//! 2. An exhausted search is not repeated until there is more to find, except for a bounded number of retries.
//!
//! Locks: none.

use super::regret::Regret;
use super::tuning::{DECAY_LEAST_PART, FLOOR_BYTES, LEAST_RELEASE_BYTES, RETRY_SLEEP_NS};
use super::windows::Windows;

/// One kind of memory at a tick.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) used: u64,
    pub(super) used_min: u64,
    pub(super) used_max: u64,
    pub(super) free: u64,
}

/// How a pool is to be treated, which depends on the process being quiet or busy.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// Peaks count for so long.
    pub(super) hold_ns: u64,
    /// Swings within an epoch count for so long.
    pub(super) short_ns: u64,
    /// What stays beyond the demand, as a part of it (0 for nothing).
    pub(super) margin_part: u64,
    /// A decay starts at this surplus.
    pub(super) start_bytes: u64,
    /// Time constant of the decay.
    pub(super) decay_ns: u64,
}

/// One kind of free memory.
pub(super) struct Pool {
    windows: Windows,
    shadow_backed: u64,
    shadow: Regret,
    // The largest surplus of the decay that is going on; 0 while there is none.
    decay_from: u64,
    // Free bytes that an exhausted search left; 0 for none.
    stuck: u64,
    exhausted: bool,
    // Free bytes at the last tick, without what was released since.
    searched: u64,
    retries: usize,
    retry_at_ns: u64,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self {
            windows: Windows::new(),
            shadow_backed: 0,
            shadow: Regret::new(),
            decay_from: 0,
            stuck: 0,
            exhausted: false,
            searched: 0,
            retries: 0,
            retry_at_ns: 0,
        }
    }

    /// Takes in a tick; `base` are the terms without anything learnt. True when the shadow had to fault in again
    /// what it had released.
    pub(super) fn observe(&mut self, now_ns: u64, passed_ns: u64, view: &View, base: &Terms) -> bool {
        self.windows.record(now_ns, view.used_min, view.used_max);
        if core::mem::take(&mut self.exhausted) {
            // What was freed since that search is not part of what it left behind.
            self.stuck = self.searched;
            self.retry_at_ns = match RETRY_SLEEP_NS.get(self.retries) {
                Some(sleep_ns) => now_ns.saturating_add(*sleep_ns),
                None => u64::MAX,
            };
            self.retries = (self.retries + 1).min(RETRY_SLEEP_NS.len());
        }
        // What was taken in between and freed again is new: of the rest a search has learnt nothing.
        self.searched = view.free;
        let untouched = view.free.saturating_sub(view.used_max.saturating_sub(view.used));
        self.stuck = if now_ns >= self.retry_at_ns { 0 } else { self.stuck.min(untouched) };

        self.shadow.advance(now_ns, passed_ns);
        let mut regretted = false;
        if view.used_max > self.shadow_backed {
            regretted = self.shadow.returned(view.used_max - self.shadow_backed).is_some();
            self.shadow_backed = view.used_max;
        }
        let goal = self.goal(view, base);
        if self.shadow_backed > goal {
            self.shadow.released(self.shadow_backed - goal);
            self.shadow_backed = goal;
        }
        regretted
    }

    /// What became of the last plan.
    pub(super) fn report(&mut self, released_bytes: u64, exhausted: bool) {
        self.exhausted = exhausted;
        self.searched = self.searched.saturating_sub(released_bytes);
        if !exhausted && released_bytes > 0 {
            self.retries = 0;
        }
    }

    /// More may be released than before (huge pages split, dense chunks included): search again.
    pub(super) fn unstick(&mut self) {
        (self.stuck, self.retries) = (0, 0);
    }

    /// Bytes that should stay backed.
    pub(super) fn goal(&self, view: &View, terms: &Terms) -> u64 {
        let demand = self.windows.demand(terms.hold_ns, terms.short_ns);
        let margin = demand.checked_div(terms.margin_part).unwrap_or(0);
        demand.saturating_add(margin).max(view.used.saturating_add(FLOOR_BYTES))
    }

    /// Free bytes above the goal, without those a search has just left behind.
    pub(super) fn surplus(&self, view: &View, terms: &Terms) -> u64 {
        let keep = self.goal(view, terms) - view.used;
        view.free.saturating_sub(keep.max(self.left_behind()))
    }

    /// Free bytes above the goal, found by searches or not.
    pub(super) fn standing(&self, view: &View, terms: &Terms) -> u64 {
        view.free.saturating_sub(self.goal(view, terms) - view.used)
    }

    /// Bytes that may be released once nothing is held for the demand any more.
    pub(super) fn held(&self, view: &View) -> u64 {
        view.free.saturating_sub(FLOOR_BYTES.max(self.left_behind()))
    }

    fn left_behind(&self) -> u64 {
        // New free memory lies among the old, so a little more of it is no reason to search the whole heap again.
        if self.stuck == 0 { 0 } else { self.stuck.saturating_add(FLOOR_BYTES.max(self.stuck / 16)) }
    }

    /// When a retry is due, if there is one to come.
    pub(super) fn retry_at_ns(&self) -> Option<u64> {
        (self.stuck > FLOOR_BYTES && self.retry_at_ns != u64::MAX).then_some(self.retry_at_ns)
    }

    /// Whether a decay is going on.
    pub(super) fn is_decaying(&self) -> bool {
        self.decay_from > 0
    }

    /// Bytes to release now: this tick's part of the decay.
    pub(super) fn plan(&mut self, surplus: u64, passed_ns: u64, terms: &Terms) -> u64 {
        let start = if self.decay_from > 0 { LEAST_RELEASE_BYTES } else { terms.start_bytes.max(LEAST_RELEASE_BYTES) };
        if surplus < start {
            self.decay_from = 0;
            return 0;
        }
        self.decay_from = self.decay_from.max(surplus);
        let part = passed_ns.min(terms.decay_ns) * 1024 / terms.decay_ns.max(1);
        let step = (surplus >> 10) * part;
        let step = step.max(self.decay_from / DECAY_LEAST_PART).max(LEAST_RELEASE_BYTES);
        // A rest too small to be released on its own goes along.
        if surplus.saturating_sub(step) < LEAST_RELEASE_BYTES { surplus } else { step }
    }
}
