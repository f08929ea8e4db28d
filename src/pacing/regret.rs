//! Regret: bytes that are needed again soon after their release, and after how long.
//!
//! Releases are noted by epoch. Bytes that come back are set off against the newest releases. Growth beyond the recent
//! releases is new demand, and no regret. A few bytes of everything always come back, so only a good part of the releases
//! counts as regret.
//!
//! Invariants
//! 1. `total` is the sum of the ring, so no byte is regretted twice.
//! 2. A release is forgotten after the longest hold, because no hold could have kept its memory for longer.
//!
//! Locks: none.

use super::tuning::{EPOCH_NS, EPOCHS, LEAST_REGRET_BYTES, LEAST_REGRET_PART, MAX_HOLD_NS, SECOND};

/// The recent releases, and how much of them came back.
pub(super) struct Regret {
    released: [u64; EPOCHS],
    newest: u64,
    total: u64,
    returned: u64,
    longest_ns: u64,
}

impl Regret {
    pub(super) const fn new() -> Self {
        Self { released: [0; EPOCHS], newest: 0, total: 0, returned: 0, longest_ns: 0 }
    }

    /// Forgets releases that are too old. Lets the bytes that came back fade within seconds, since a thin stream of returns
    /// is no regret.
    pub(super) fn advance(&mut self, now_ns: u64, passed_ns: u64) {
        let now = now_ns / EPOCH_NS;
        let kept = MAX_HOLD_NS / EPOCH_NS;
        let gap = now.saturating_sub(self.newest).min(EPOCHS as u64);
        for ahead in 0..gap {
            // The ring's places that the new epochs take, and the epochs that are `kept` old now.
            self.forget(now.wrapping_sub(ahead));
            self.forget(now.wrapping_sub(ahead).wrapping_sub(kept));
        }
        self.newest = self.newest.max(now);
        let fade = passed_ns.min(SECOND) >> 10;
        self.returned -= (self.returned / (SECOND >> 10)).saturating_mul(fade).min(self.returned);
        if self.returned == 0 {
            self.longest_ns = 0;
        }
    }

    fn forget(&mut self, epoch: u64) {
        let slot = &mut self.released[(epoch % EPOCHS as u64) as usize];
        self.total -= *slot;
        *slot = 0;
    }

    /// Notes a release.
    pub(super) fn released(&mut self, bytes: u64) {
        let bytes = bytes.min(u64::MAX - self.total);
        self.released[(self.newest % EPOCHS as u64) as usize] += bytes;
        self.total += bytes;
    }

    /// Notes that `bytes` are needed again. Once enough of the recent releases has come back, answers how long ago the oldest
    /// of these bytes were released.
    pub(super) fn returned(&mut self, bytes: u64) -> Option<u64> {
        let before = self.total.saturating_add(self.returned);
        let mut open = bytes.min(self.total);
        for back in 0..(EPOCHS as u64).min(self.newest + 1) {
            if open == 0 {
                break;
            }
            let slot = &mut self.released[((self.newest - back) % EPOCHS as u64) as usize];
            let taken = open.min(*slot);
            if taken > 0 {
                *slot -= taken;
                self.total -= taken;
                open -= taken;
                self.returned = self.returned.saturating_add(taken);
                self.longest_ns = self.longest_ns.max(back * EPOCH_NS);
            }
        }
        if self.returned < (before / LEAST_REGRET_PART).max(LEAST_REGRET_BYTES) {
            return None;
        }
        self.returned = 0;
        Some(core::mem::take(&mut self.longest_ns))
    }
}

/// How long peaks are kept beyond the base hold: learnt from regret, forgotten without regret.
pub(super) struct LearntHold {
    learnt_ns: u64,
    confirmed_at_ns: u64,
}

impl LearntHold {
    pub(super) const fn new() -> Self {
        Self { learnt_ns: 0, confirmed_at_ns: 0 }
    }

    /// The learnt hold; 0 if nothing was learnt.
    pub(super) const fn ns(&self) -> u64 {
        self.learnt_ns
    }

    /// Memory came back `interval_ns` after the peak before. A hold a quarter longer would have kept it.
    pub(super) fn learn(&mut self, now_ns: u64, interval_ns: u64) {
        if interval_ns <= MAX_HOLD_NS {
            self.learnt_ns = self.learnt_ns.max(interval_ns + interval_ns / 4).min(MAX_HOLD_NS);
            self.confirmed_at_ns = now_ns;
        }
    }

    /// Memory was used again that only the learnt hold had kept: the hold has proven itself.
    pub(super) fn confirm(&mut self, now_ns: u64) {
        self.confirmed_at_ns = now_ns;
    }

    /// Lets the learnt hold fade within seconds after one and a half times itself without confirmation.
    pub(super) fn advance(&mut self, now_ns: u64, passed_ns: u64) {
        let alone_ns = now_ns.saturating_sub(self.confirmed_at_ns);
        if alone_ns > self.learnt_ns + self.learnt_ns / 2 {
            let fade = (self.learnt_ns >> 10) * (passed_ns.min(SECOND) >> 10) / (SECOND >> 20);
            self.learnt_ns = self.learnt_ns.saturating_sub(fade.max(1 << 20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tuning::{MIB, MS};
    use super::*;

    fn at(regret: &mut Regret, now_ns: u64) {
        let passed = now_ns - regret.newest * EPOCH_NS;
        regret.advance(now_ns, passed);
    }

    #[test]
    fn what_comes_back_is_set_off_against_the_newest_release() {
        let mut regret = Regret::new();
        at(&mut regret, SECOND);
        regret.released(100 * MIB);
        at(&mut regret, 3 * SECOND);
        regret.released(10 * MIB);
        at(&mut regret, 4 * SECOND);
        assert_eq!(regret.returned(MIB), None);
        assert_eq!(regret.returned(8 * MIB), None, "less than an eighth");
        assert_eq!(regret.returned(8 * MIB), Some(3 * SECOND));
        assert_eq!(regret.returned(u64::MAX), Some(3 * SECOND));
        assert_eq!(regret.returned(u64::MAX), None, "no byte twice");
    }

    #[test]
    fn old_releases_are_forgotten() {
        let mut regret = Regret::new();
        at(&mut regret, SECOND);
        regret.released(100 * MIB);
        at(&mut regret, 11 * SECOND - 100 * MS);
        assert_eq!(regret.total, 100 * MIB);
        at(&mut regret, 11 * SECOND);
        assert_eq!(regret.total, 0);
        regret.released(100 * MIB);
        at(&mut regret, 1_000 * SECOND);
        assert_eq!(regret.total, 0);
    }

    #[test]
    fn a_thin_stream_of_returns_fades() {
        let mut regret = Regret::new();
        at(&mut regret, SECOND);
        regret.released(200 * MIB);
        for tick in 0..50 {
            at(&mut regret, SECOND + tick * 100 * MS);
            assert_eq!(regret.returned(MIB), None);
        }
    }

    #[test]
    fn returns_in_short_order_add_up() {
        let mut regret = Regret::new();
        regret.released(10 * MIB);
        at(&mut regret, 3 * SECOND);
        assert_eq!(regret.returned(MIB + MIB / 2), None);
        regret.released(10 * MIB);
        at(&mut regret, 3 * SECOND + 100 * MS);
        assert_eq!(regret.returned(MIB + MIB / 2), Some(3 * SECOND), "the oldest of all that came back");
    }

    #[test]
    fn enough_is_two_mebibytes_and_an_eighth_of_the_releases() {
        for (released, returned, enough) in [
            (10 * MIB, LEAST_REGRET_BYTES - 1, false),
            (10 * MIB, LEAST_REGRET_BYTES, true),
            (80 * MIB, 10 * MIB - 1, false),
            (80 * MIB, 10 * MIB, true),
        ] {
            let mut regret = Regret::new();
            regret.released(released);
            assert_eq!(regret.returned(returned).is_some(), enough, "{returned} of {released}");
        }
    }

    #[test]
    fn extremes_do_not_wrap() {
        let mut regret = Regret::new();
        regret.released(u64::MAX);
        regret.released(u64::MAX);
        regret.returned(u64::MAX);
        regret.released(u64::MAX);
        regret.advance(u64::MAX, u64::MAX);
        regret.returned(u64::MAX);
        regret.advance(0, u64::MAX);
    }

    #[test]
    fn a_hold_is_learnt_at_once_and_fades_when_nothing_confirms_it() {
        let mut hold = LearntHold::new();
        hold.learn(0, 2 * SECOND);
        assert_eq!(hold.ns(), 2 * SECOND + SECOND / 2);
        hold.learn(0, MAX_HOLD_NS + 1);
        assert_eq!(hold.ns(), 2 * SECOND + SECOND / 2, "too long a pause teaches nothing");
        for tick in 0..37 {
            hold.advance(tick * 100 * MS, 100 * MS);
        }
        assert_eq!(hold.ns(), 2 * SECOND + SECOND / 2);
        hold.advance(3_750 * MS, 100 * MS);
        assert_eq!(hold.ns(), 2 * SECOND + SECOND / 2, "one and a half times itself");
        hold.advance(3_751 * MS, 100 * MS);
        assert!((2_200 * MS..2_300 * MS).contains(&hold.ns()), "a tenth of it in a tenth of a second: {}", hold.ns());
        for tick in 38..100 {
            hold.advance(tick * 100 * MS, 100 * MS);
        }
        assert!(hold.ns() < 10 * MS, "{}", hold.ns());
        for tick in 100..200 {
            hold.advance(tick * 100 * MS, 100 * MS);
        }
        assert_eq!(hold.ns(), 0);
    }
}
