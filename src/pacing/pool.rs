//! One kind of free memory, retained pages or holes: how much of it is excess, and how the excess is released.
//!
//! A pool's backed memory is `used + free`. Its goal is the backed memory that should stay: the demand and a margin, but
//! at least the used memory and a floor. Free memory above the goal is excess. The excess decays exponentially, with a
//! least step, so that the release is smooth at first and ends all the same.
//!
//! The *shadow* is a pool that never learns: it forgets peaks after the base hold. When the shadow would have had to fault
//! memory in again that is still there, the learnt hold has proven itself. The absence of faults alone does not prove it.
//!
//! Invariants
//! 1. A plan is 0, or at least `LEAST_RELEASE_BYTES` and at most what is free.
//! 2. An exhausted search is repeated only when there is more to find, except for a bounded number of retries.
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

/// How a pool is treated. It depends on whether the process is quiet or busy.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// How long a peak of the demand counts: free memory below the peak is kept for so long.
    pub(super) hold_ns: u64,
    /// How long swings within an epoch count.
    pub(super) short_ns: u64,
    /// The margin beyond the demand, as a part of the demand (0 for no margin).
    pub(super) margin_part: u64,
    /// A decay starts at this excess.
    pub(super) start_bytes: u64,
    /// The time constant of the decay.
    pub(super) decay_ns: u64,
}

/// One kind of free memory.
pub(super) struct Pool {
    windows: Windows,
    shadow_backed: u64,
    shadow: Regret,
    // The largest excess of the running decay; 0 while no decay is running.
    decay_from: u64,
    // The free bytes that an exhausted search left behind.
    unreleasable: u64,
    exhausted: bool,
    // The free bytes at the last tick, less what was released since.
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
            unreleasable: 0,
            exhausted: false,
            searched: 0,
            retries: 0,
            retry_at_ns: 0,
        }
    }

    /// Takes in a tick. `base` are the terms without a learnt hold. True if the shadow had to fault memory in again that it
    /// had released.
    pub(super) fn observe(&mut self, now_ns: u64, passed_ns: u64, view: &View, base: &Terms) -> bool {
        self.windows.record(now_ns, view.used_min, view.used_max);
        if core::mem::take(&mut self.exhausted) {
            // Memory that was freed since the search is not part of what the search left behind.
            self.unreleasable = self.searched;
            self.retry_at_ns = match RETRY_SLEEP_NS.get(self.retries) {
                Some(sleep_ns) => now_ns.saturating_add(*sleep_ns),
                None => u64::MAX,
            };
            self.retries = (self.retries + 1).min(RETRY_SLEEP_NS.len());
        }
        // Memory that was taken and freed again since the last tick is new to a search. Only the rest is known unreleasable.
        self.searched = view.free;
        let untouched = view.free.saturating_sub(view.used_max.saturating_sub(view.used));
        self.unreleasable = if now_ns >= self.retry_at_ns { 0 } else { self.unreleasable.min(untouched) };

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

    /// Takes in what became of the last plan.
    pub(super) fn report(&mut self, released_bytes: u64, exhausted: bool) {
        self.exhausted = exhausted;
        self.searched = self.searched.saturating_sub(released_bytes);
        if !exhausted && released_bytes > 0 {
            self.retries = 0;
        }
    }

    /// Lets the next search begin anew, because more may be released than before (parts of huge pages, dense chunks).
    pub(super) fn search_again(&mut self) {
        (self.unreleasable, self.retries) = (0, 0);
    }

    /// The bytes that should stay backed.
    pub(super) fn goal(&self, view: &View, terms: &Terms) -> u64 {
        let demand = self.windows.demand(terms.hold_ns, terms.short_ns);
        let margin = demand.checked_div(terms.margin_part).unwrap_or(0);
        demand.saturating_add(margin).max(view.used.saturating_add(FLOOR_BYTES))
    }

    /// The excess that a search may find: free bytes above the goal, or above those that a search has just left behind.
    pub(super) fn excess(&self, view: &View, terms: &Terms) -> u64 {
        let keep = self.goal(view, terms) - view.used;
        view.free.saturating_sub(keep.max(self.unreleasable_with_slack()))
    }

    /// The whole excess: free bytes above the goal, whether searches find them or not.
    pub(super) fn total_excess(&self, view: &View, terms: &Terms) -> u64 {
        view.free.saturating_sub(self.goal(view, terms) - view.used)
    }

    /// The bytes that may be released once nothing is held for the demand any more.
    pub(super) fn held(&self, view: &View) -> u64 {
        view.free.saturating_sub(FLOOR_BYTES.max(self.unreleasable_with_slack()))
    }

    fn unreleasable_with_slack(&self) -> u64 {
        // New free memory lies among the old. A little more of it is no reason to search the whole heap again.
        if self.unreleasable == 0 {
            0
        } else {
            self.unreleasable.saturating_add(FLOOR_BYTES.max(self.unreleasable / 16))
        }
    }

    /// When the next retry is due; `None` if no retry is to come.
    pub(super) fn retry_at_ns(&self) -> Option<u64> {
        (self.unreleasable > FLOOR_BYTES && self.retry_at_ns != u64::MAX).then_some(self.retry_at_ns)
    }

    /// Whether a decay is running.
    pub(super) fn is_decaying(&self) -> bool {
        self.decay_from > 0
    }

    /// The bytes to release now: this tick's part of the decay.
    pub(super) fn plan(&mut self, excess: u64, passed_ns: u64, terms: &Terms) -> u64 {
        let start = if self.decay_from > 0 { LEAST_RELEASE_BYTES } else { terms.start_bytes.max(LEAST_RELEASE_BYTES) };
        if excess < start {
            self.decay_from = 0;
            return 0;
        }
        self.decay_from = self.decay_from.max(excess);
        let part = passed_ns.min(terms.decay_ns) * 1024 / terms.decay_ns.max(1);
        let step = (excess >> 10) * part;
        let step = step.max(self.decay_from / DECAY_LEAST_PART).max(LEAST_RELEASE_BYTES);
        // A rest that is too small for a release of its own goes along.
        if excess.saturating_sub(step) < LEAST_RELEASE_BYTES { excess } else { step }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tuning::{MIB, MS, SECOND};
    use super::*;

    const TERMS: Terms =
        Terms { hold_ns: SECOND, short_ns: SECOND, margin_part: 0, start_bytes: MIB, decay_ns: 100 * MS };

    fn view(used: u64, free: u64) -> View {
        View { used, used_min: used, used_max: used, free }
    }

    #[test]
    fn a_decay_starts_at_its_threshold_and_goes_on_below_it() {
        let mut pool = Pool::new();
        assert_eq!((pool.plan(MIB - 1, 10 * MS, &TERMS), pool.is_decaying()), (0, false));
        // A sixteenth of what the decay started with is more than a tenth of what is left.
        let first = pool.plan(16 * MIB, 0, &TERMS);
        assert_eq!((first, pool.is_decaying()), (MIB, true));
        assert_eq!(pool.plan(MIB - 1, 0, &TERMS), MIB - 1, "the rest is too small for a release of its own");
        assert_eq!(pool.plan(MIB + LEAST_RELEASE_BYTES, 0, &TERMS), MIB, "this rest is not");
        assert_eq!(pool.plan(LEAST_RELEASE_BYTES, 0, &TERMS), LEAST_RELEASE_BYTES);
        assert_eq!((pool.plan(LEAST_RELEASE_BYTES - 1, 0, &TERMS), pool.is_decaying()), (0, false));
        assert_eq!(pool.plan(MIB - 1, 10 * MS, &TERMS), 0, "below the threshold again");
    }

    #[test]
    fn the_step_follows_the_time_constant() {
        for (passed_ms, part) in [(0, 64), (10, 102), (50, 512), (100, 1024), (1_000, 1024)] {
            assert_eq!(Pool::new().plan(1024 * MIB, passed_ms * MS, &TERMS), part * MIB, "{passed_ms} ms");
        }
    }

    #[test]
    fn what_a_search_left_behind_is_no_excess_until_a_good_deal_is_added() {
        let mut pool = Pool::new();
        pool.observe(0, 0, &view(0, 160 * MIB), &TERMS);
        pool.report(0, true);
        pool.observe(100 * MS, 100 * MS, &view(0, 160 * MIB), &TERMS);
        for (free, excess) in [(160 * MIB, 0), (170 * MIB, 0), (171 * MIB, MIB)] {
            assert_eq!(pool.excess(&view(0, free), &TERMS), excess, "{free}");
            assert_eq!(pool.held(&view(0, free)), excess, "{free}");
            assert_eq!(pool.total_excess(&view(32 * MIB, free), &TERMS), free - FLOOR_BYTES);
        }
        assert_eq!(pool.retry_at_ns(), Some(600 * MS));
        pool.search_again();
        assert_eq!(pool.excess(&view(0, 160 * MIB), &TERMS), 160 * MIB - FLOOR_BYTES);
        assert_eq!(pool.retry_at_ns(), None);
    }

    #[test]
    fn retries_are_few_until_a_search_finds_something_again() {
        let mut pool = Pool::new();
        let mut now_ns = 0;
        let mut search = |released: u64, exhausted: bool| {
            pool.observe(now_ns, 0, &view(0, MIB), &TERMS);
            pool.report(released, exhausted);
            pool.observe(now_ns, 0, &view(0, MIB), &TERMS);
            let retry_at_ns = pool.retry_at_ns();
            let sleep_ns = retry_at_ns.map(|at_ns| at_ns - now_ns);
            now_ns = retry_at_ns.unwrap_or(now_ns + SECOND);
            sleep_ns
        };
        let first = [500 * MS, 2 * SECOND].map(Some);
        assert_eq!([search(0, true), search(0, true), search(0, true)], [first[0], first[1], None]);
        assert_eq!([search(0, false), search(0, true)], [None, None], "nothing was found, and nothing was looked for");
        search(MIB / 4, true);
        assert_eq!(search(0, true), None, "the rest is what there was before");
        search(MIB / 4, false);
        assert_eq!([search(0, true), search(0, true), search(0, true)], [first[0], first[1], None]);
    }

    #[test]
    fn a_retry_is_not_worth_it_for_the_floor() {
        for (left, is_worth_it) in [(FLOOR_BYTES, false), (FLOOR_BYTES + 1, true)] {
            let mut pool = Pool::new();
            pool.observe(0, 0, &view(0, left), &TERMS);
            pool.report(0, true);
            pool.observe(100 * MS, 100 * MS, &view(0, left), &TERMS);
            assert_eq!(pool.retry_at_ns().is_some(), is_worth_it);
        }
    }

    #[test]
    fn the_shadow_regrets_what_it_would_have_to_fault_in_again() {
        let mut pool = Pool::new();
        let mut tick = 0;
        let mut observe = |used: u64, ticks: u64| {
            (0..ticks).fold(false, |regretted, _| {
                tick += 1;
                pool.observe(tick * 100 * MS, 100 * MS, &view(used, 0), &TERMS) || regretted
            })
        };
        assert!(!observe(150 * MIB, 5));
        // Until the base hold is over, the shadow keeps the peak.
        assert!(!observe(50 * MIB, 5) && !observe(150 * MIB, 1));
        assert!(!observe(50 * MIB, 20));
        assert!(!observe(51 * MIB, 1), "too little to regret");
        assert!(observe(80 * MIB, 1));
    }
}
