//! A clock that only goes forward, whatever the clock behind it does.
//!
//! Why: suspended machines, migrated virtual machines and coarse clocks let a clock jump or stand still between two ticks.
//! A difference of zero, or below zero, has made other scavengers sleep for ever.
//!
//! A jump forward counts as an hour at most. For all windows an hour is as good as for ever, and the clock does not run out.
//!
//! Locks: none.

use super::tuning::SECOND;

const MOST_NS: u64 = 3_600 * SECOND;

/// Time as the policy sees it.
pub(super) struct Clock {
    last_raw_ns: Option<u64>,
    now_ns: u64,
}

impl Clock {
    pub(super) const fn new() -> Self {
        Self { last_raw_ns: None, now_ns: 0 }
    }

    /// Advances to `raw_ns` of the clock behind, and returns how much time has passed. A step backwards counts as no time.
    pub(super) fn advance(&mut self, raw_ns: u64) -> u64 {
        let passed = raw_ns.saturating_sub(self.last_raw_ns.unwrap_or(raw_ns)).min(MOST_NS);
        self.last_raw_ns = Some(raw_ns);
        self.now_ns = self.now_ns.saturating_add(passed);
        passed
    }

    pub(super) const fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_backward_count_as_no_time_and_do_not_stop_the_clock() {
        let mut clock = Clock::new();
        assert_eq!(clock.advance(1_000), 0);
        assert_eq!(clock.advance(1_500), 500);
        assert_eq!(clock.advance(10), 0);
        assert_eq!(clock.advance(30), 20);
        assert_eq!(clock.now_ns(), 520);
        assert_eq!(clock.advance(u64::MAX), MOST_NS);
        assert_eq!(clock.advance(0), 0);
        assert_eq!(clock.advance(u64::MAX), MOST_NS);
        assert_eq!(clock.now_ns(), 2 * MOST_NS + 520);
    }
}
