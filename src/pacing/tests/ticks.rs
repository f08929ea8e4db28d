//! Single ticks: the exact decisions at the edges of the rules.

use super::super::tuning::*;
use super::super::{Decision, Next, Observation, Outcome, Pacing};

/// A policy, and the observation that it will see next.
struct Ticks {
    pacing: Pacing,
    seen: Observation,
}

impl Ticks {
    /// A process on one CPU with so much in use.
    fn new(in_use: u64) -> Self {
        let mut ticks =
            Self { pacing: Pacing::new(), seen: Observation { milli_cpus: 1_000, ..Observation::default() } };
        ticks.use_pages(in_use);
        ticks.tick(0, 0);
        ticks
    }

    fn use_pages(&mut self, bytes: u64) {
        let seen = &mut self.seen;
        (seen.in_use_bytes, seen.in_use_min_bytes, seen.in_use_max_bytes) = (bytes, bytes, bytes);
    }

    /// A tick after `ns`, `milli` thousandths of which the process has used a CPU. Nothing that it decides is carried out.
    fn tick(&mut self, ns: u64, milli: u64) -> Decision {
        self.seen.now_ns += ns;
        self.seen.process_cpu_ns += ns / 1_000 * milli;
        let decision = self.pacing.tick(&self.seen);
        self.pacing.report(&Outcome::default());
        decision
    }

    /// Ticks of 0.1 s of an idle (or busy) process; the last decision.
    fn idle(&mut self, ticks: usize) -> Decision {
        (0..ticks).map(|_| self.tick(100 * MS, 0)).last().unwrap()
    }

    fn busy(&mut self, ticks: usize) -> Decision {
        (0..ticks).map(|_| self.tick(100 * MS, 1_000)).last().unwrap()
    }
}

#[test]
fn dense_chunks_are_included_under_pressure_alone() {
    let mut ticks = Ticks::new(100 * MIB);
    ticks.seen.limit_bytes = Some(1_000 * MIB);
    ticks.seen.retained_bytes = 190 * MIB;
    assert!(!ticks.busy(1).include_dense && !ticks.idle(20).include_dense);
    ticks.seen.limit_used_bytes = 950 * MIB;
    assert!(!ticks.idle(1).include_dense, "at the line");
    ticks.seen.limit_used_bytes = 950 * MIB + 1;
    assert!(ticks.idle(1).include_dense);
}

#[test]
fn pressure_asks_for_the_excess_over_its_line_and_for_headroom() {
    let mut ticks = Ticks::new(700 * MIB);
    ticks.seen.limit_bytes = Some(1_000 * MIB);
    ticks.seen.limit_used_bytes = 960 * MIB;
    ticks.seen.retained_bytes = 190 * MIB;
    assert_eq!(ticks.tick(0, 0).release_bytes, 10 * MIB + 1_000 * MIB / 32);
}

#[test]
fn pressure_searches_again_where_a_search_had_found_no_more() {
    let mut ticks = Ticks::new(10 * MIB);
    ticks.seen.limit_bytes = Some(1_000 * MIB);
    ticks.seen.retained_bytes = 100 * MIB;
    assert_ne!(ticks.idle(30).release_bytes, 0);
    ticks.pacing.report(&Outcome { pages_exhausted: true, ..Outcome::default() });
    assert_eq!(ticks.idle(1).release_bytes, 0);
    ticks.seen.limit_used_bytes = 960 * MIB;
    assert_ne!(ticks.idle(1).release_bytes, 0, "dense chunks count now");
}

#[test]
fn growth_leaves_an_eighth_of_what_is_in_use_alone() {
    assert_eq!(Ticks::new(400 * MIB).idle(30).goal.retained_bytes, 50 * MIB);
    assert_eq!(Ticks::new(8 * MIB).idle(30).goal.retained_bytes, WAKE_BYTES);
}

#[test]
fn a_parked_scavenger_is_woken_by_an_eighth_more_holes() {
    let mut ticks = Ticks::new(400 * MIB);
    for (holes, cached, wake) in [(0, 0, 8), (80, 0, 90), (8, 1, 17)] {
        (ticks.seen.hole_bytes, ticks.seen.depot_bytes) = (holes * MIB, cached * MIB);
        assert_eq!(ticks.idle(1).wake.hole_bytes, wake * MIB);
    }
}

#[test]
fn the_cap_on_retained_memory_is_exact() {
    let mut ticks = Ticks::new(10 * MIB);
    ticks.busy(20);
    ticks.seen.retained_bytes = 512 << 10;
    ticks.seen.retain_max_bytes = Some(ticks.seen.retained_bytes - LEAST_RELEASE_BYTES);
    assert_eq!(ticks.busy(1).release_bytes, LEAST_RELEASE_BYTES);
    ticks.seen.retain_max_bytes = Some(ticks.seen.retained_bytes - LEAST_RELEASE_BYTES + 1);
    assert_eq!(ticks.busy(1).release_bytes, 0);
    // Well above the cap, huge pages are split for it.
    ticks.seen.retain_max_bytes = Some(0);
    ticks.seen.retained_bytes = FLOOR_BYTES;
    assert!(!ticks.busy(1).split_huge_pages);
    ticks.seen.retained_bytes = FLOOR_BYTES + 1;
    assert!(ticks.busy(1).split_huge_pages);
}

#[test]
fn a_busy_process_releases_as_soon_as_the_budget_is_worth_a_batch() {
    // 0.8 % of one CPU.
    let needed_ns = LEAST_BUDGET_NS * 1_000_000 / BUDGET_PPM;
    for (ns, releases) in [(needed_ns - 1_000, false), (needed_ns, true)] {
        let mut ticks = Ticks::new(10 * MIB);
        ticks.seen.retained_bytes = 100 * MIB;
        ticks.seen.retain_max_bytes = Some(0);
        assert_eq!(ticks.tick(ns, 1_000).release_bytes > 0, releases, "{ns}");
    }
}

#[test]
fn regret_teaches_how_long_memory_was_kept_and_away() {
    // (retained, holes) that are released, by a quiet or busy process, and how long it had kept them.
    for (retained, holes, quiet, kept_ns) in [
        (100 * MIB, 0, true, QUIET_AFTER_NS),
        (0, 100 * MIB, true, QUIET_AFTER_NS),
        (100 * MIB, 0, false, BUSY_HOLD_NS),
    ] {
        let mut ticks = Ticks::new(200 * MIB);
        (ticks.seen.retained_bytes, ticks.seen.hole_bytes) = (retained, holes);
        let released = if quiet { ticks.idle(30) } else { ticks.busy(30) };
        assert_eq!((released.release_bytes > 0, released.release_hole_bytes > 0), (retained > 0, holes > 0));
        (ticks.seen.retained_bytes, ticks.seen.hole_bytes) = (0, 0);
        ticks.pacing.report(&Outcome { released_bytes: retained, hole_released_bytes: holes, ..Outcome::default() });
        // Ticks without a release, whatever the mode, say nothing about it.
        ticks.busy(15);
        ticks.idle(15);
        ticks.seen.refaulted_bytes = 50 * MIB;
        ticks.busy(1);
        let interval_ns = 3_100 * MS + kept_ns;
        assert_eq!(ticks.pacing.hold.ns(), interval_ns + interval_ns / 4, "{retained} {holes} {quiet}");
    }
}

#[test]
fn a_release_that_begins_drains_idle_threads_once() {
    let mut ticks = Ticks::new(200 * MIB);
    assert_eq!((0..30).filter(|_| ticks.idle(1).drain_idle_threads).count(), 1);
    // Pages, then holes: the tick at which their release begins drains, and those while it goes on do not.
    ticks.seen.retained_bytes = 100 * MIB;
    let begins = (0..30).map(|_| ticks.idle(1)).find(|decision| decision.release_bytes > 0).unwrap();
    assert!(begins.drain_idle_threads && begins.trim_caches);
    assert_eq!((0..30).filter(|_| ticks.idle(1).drain_idle_threads).count(), 0, "the release goes on");
    ticks.seen.retained_bytes = 0;
    ticks.idle(1);
    ticks.seen.hole_bytes = 100 * MIB;
    let begins = (0..30).map(|_| ticks.idle(1)).find(|decision| decision.release_hole_bytes > 0).unwrap();
    assert!(begins.drain_idle_threads);
    assert_eq!((0..30).filter(|_| ticks.idle(1).drain_idle_threads).count(), 0);
}

#[test]
fn a_long_pause_of_the_scavenger_is_a_reason_to_drain() {
    let mut ticks = Ticks::new(200 * MIB);
    assert_eq!(ticks.idle(60).next, Next::Park);
    // What woke it was over before it looked.
    for _ in 0..10 {
        assert!(!ticks.tick(4 * EPOCH_NS - 1, 0).drain_idle_threads);
        assert_eq!(ticks.tick(1, 0).next, Next::Park);
    }
    assert!(ticks.tick(4 * EPOCH_NS, 0).drain_idle_threads);
}

#[test]
fn sleeps_between_steps_and_while_memory_is_held() {
    let sleep = |ns| Next::Sleep(ns);
    let mut ticks = Ticks::new(200 * MIB);
    ticks.seen.retained_bytes = 8 * MIB;
    // Memory is held for the margin of a busy process, which is steady after ten ticks without work. One is over.
    let sleeps: std::vec::Vec<Next> = (0..20).map(|_| ticks.busy(1).next).collect();
    let steady = sleeps.iter().position(|next| *next == sleep(STEADY_SLEEP_NS)).unwrap();
    assert!(sleeps[..steady].iter().all(|next| *next == sleep(HOLD_SLEEP_NS)), "{sleeps:?}");
    assert!(sleeps[steady..].iter().all(|next| *next == sleep(STEADY_SLEEP_NS)), "{sleeps:?}");
    assert_eq!(steady, 9);
    // The steps of a release.
    ticks.seen.retain_max_bytes = Some(MIB);
    assert_eq!(ticks.busy(1).next, sleep(HOLD_SLEEP_NS));
    ticks.seen.retain_max_bytes = None;
    assert_eq!((ticks.busy(10).next, ticks.busy(1).next), (sleep(HOLD_SLEEP_NS), sleep(STEADY_SLEEP_NS)));
    let begins = (0..30).map(|_| ticks.idle(1)).find(|decision| decision.release_bytes > 0).unwrap();
    assert_eq!(begins.next, sleep(STEP_SLEEP_NS));
    (ticks.seen.retained_bytes, ticks.seen.hole_bytes) = (0, 100 * MIB);
    let begins = (0..30).map(|_| ticks.idle(1)).find(|decision| decision.release_hole_bytes > 0).unwrap();
    assert_eq!(begins.next, sleep(STEP_SLEEP_NS));
    // Depots alone are a step as well.
    (ticks.seen.hole_bytes, ticks.seen.depot_bytes) = (0, 4 * MIB);
    let trims = ticks.idle(1);
    assert!(trims.trim_caches && trims.release_bytes == 0 && trims.release_hole_bytes == 0);
    assert_eq!(trims.next, sleep(STEP_SLEEP_NS));
}

#[test]
fn a_learnt_hold_is_looked_at_a_few_times() {
    let mut ticks = Ticks::new(100 * MIB);
    ticks.pacing.hold.learn(0, 2 * SECOND);
    ticks.seen.retained_bytes = 4 * MIB;
    assert_eq!(ticks.busy(1).next, Next::Sleep(2_500 * MS / LOOKS_PER_HOLD));
    ticks.pacing.hold.learn(ticks.seen.now_ns, 8 * SECOND);
    assert_eq!(ticks.busy(1).next, Next::Sleep(MAX_HOLD_SLEEP_NS));
}

#[test]
fn a_swing_within_an_epoch_counts_for_half_the_hold() {
    let mut ticks = Ticks::new(100 * MIB);
    ticks.busy(30);
    ticks.seen.in_use_max_bytes = 200 * MIB;
    assert_eq!(ticks.busy(1).goal.retained_bytes, 120 * MIB, "the swing, and a tenth as margin");
    ticks.use_pages(100 * MIB);
    let kept = (1..30).take_while(|_| ticks.busy(1).goal.retained_bytes == 120 * MIB).count();
    assert_eq!(kept as u64, (BUSY_HOLD_NS / 2).div_ceil(EPOCH_NS));
}

#[test]
fn holes_have_a_larger_margin_and_start_than_pages() {
    // 100 MiB are live. A busy process keeps a quarter as margin, and begins with 16 MiB; the cap lets it split huge pages.
    for (holes, releases) in [(41 * MIB, true), (41 * MIB - 1, false)] {
        let mut ticks = Ticks::new(100 * MIB + holes);
        ticks.seen.hole_bytes = holes;
        ticks.busy(30);
        (ticks.seen.retain_max_bytes, ticks.seen.retained_bytes) = (Some(0), MIB);
        assert_eq!(ticks.busy(1).release_hole_bytes > 0, releases, "busy, {holes}");
    }
    // A quiet one keeps the floor, and begins with a quarter of a MiB.
    for (holes, releases) in [(MIB / 2, true), (MIB / 2 - 1, false)] {
        let mut ticks = Ticks::new(100 * MIB);
        ticks.idle(30);
        ticks.seen.hole_bytes = holes;
        assert_eq!(ticks.idle(30).release_hole_bytes > 0, releases, "quiet, {holes}");
    }
}

#[test]
fn a_quiet_process_releases_a_part_by_the_time_that_passed() {
    for (passed_ms, part) in [(10, 102), (50, 512), (100, 1024)] {
        let mut ticks = Ticks::new(10 * MIB);
        ticks.idle(30);
        ticks.seen.retained_bytes = 1024 * MIB + FLOOR_BYTES;
        assert_eq!(ticks.tick(passed_ms * MS, 0).release_bytes, part * MIB, "{passed_ms} ms");
    }
}

#[test]
fn a_busy_process_is_watched_while_parts_of_huge_pages_may_be_left() {
    for (left, watched) in [(FLOOR_BYTES + LEAST_RELEASE_BYTES, false), (FLOOR_BYTES + LEAST_RELEASE_BYTES + 1, true)] {
        let mut ticks = Ticks::new(10 * MIB);
        ticks.seen.retained_bytes = left;
        for _ in 0..3 {
            ticks.busy(30);
            ticks.pacing.report(&Outcome { pages_exhausted: true, ..Outcome::default() });
        }
        let next = ticks.busy(30).next;
        assert_eq!(next, if watched { Next::Sleep(STEADY_SLEEP_NS) } else { Next::Park });
    }
}
