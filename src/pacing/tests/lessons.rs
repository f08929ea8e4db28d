//! Failures that other scavengers have had, each as a test.

use super::super::tuning::{LEAST_RELEASE_BYTES, MAX_SLEEP_NS, MIB, MS, SECOND};
use super::super::{Goal, Next, Observation, Outcome, Pacing, Wake};
use super::process::{Load, Process};

fn idle_with(retained_mib: u64) -> Observation {
    Observation {
        in_use_bytes: 10 * MIB,
        in_use_min_bytes: 10 * MIB,
        in_use_max_bytes: 10 * MIB,
        retained_bytes: retained_mib * MIB,
        milli_cpus: 1_000,
        ..Observation::default()
    }
}

#[test]
fn a_clock_that_stands_still_neither_parks_nor_spins_nor_stops_the_release() {
    let mut pacing = Pacing::new();
    let mut seen = idle_with(100);
    // It has been quiet before the clock stopped.
    for _ in 0..30 {
        seen.now_ns += 100 * MS;
        pacing.tick(&seen);
    }
    for _ in 0..40 {
        let decision = pacing.tick(&seen);
        assert!(matches!(decision.next, Next::Sleep(ns) if ns >= MS) || seen.retained_bytes <= 2 * MIB);
        seen.retained_bytes -= decision.release_bytes;
        pacing.report(&Outcome { released_bytes: decision.release_bytes, ..Outcome::default() });
    }
    assert!(seen.retained_bytes <= 2 * MIB, "{}", seen.retained_bytes);
}

#[test]
fn a_clock_that_jumps_back_stops_nothing() {
    let mut process = Process::new();
    super::bursts::burst(&mut process, SECOND, Load::pages(10, 0));
    process.seen.now_ns -= 900 * SECOND;
    process.due_ns = Some(process.seen.now_ns);
    let ns = process.time_to_give_back(4, Load::pages(10, 0));
    assert!(ns <= 1_700 * MS, "{} ms", ns / MS);
}

#[test]
fn an_oversubscribed_host_winds_nothing_up() {
    // For an hour the scavenger gets a tenth of the CPU it asks for and its clock runs on; then it must work as ever.
    let mut process = Process::new();
    let mut pages = 0;
    for _ in 0..3_600 {
        pages = (pages + 37) % 200;
        process.seen.scavenger_cpu_ns += 200 * MS;
        process.seen.process_cpu_ns += 200 * MS;
        process.run(SECOND, |_| Load::pages(pages, 1_000));
    }
    super::bursts::burst(&mut process, SECOND, Load::pages(10, 0));
    let ns = process.time_to_give_back(4, Load::pages(10, 0));
    assert!(ns <= 11 * SECOND, "{} ms", ns / MS);
}

#[test]
fn a_tiny_quota_still_has_a_budget() {
    let mut pacing = Pacing::new();
    let mut seen = idle_with(100);
    seen.milli_cpus = 10;
    let mut released = 0;
    for _ in 0..600 {
        seen.now_ns += 100 * MS;
        seen.process_cpu_ns += MS;
        let decision = pacing.tick(&seen);
        assert!(!decision.drain_idle_threads, "it uses all it has, so it is busy");
        released += decision.release_bytes;
        seen.scavenger_cpu_ns += if decision.release_bytes > 0 { 100_000 } else { 0 };
        seen.process_cpu_ns += if decision.release_bytes > 0 { 100_000 } else { 0 };
        pacing.report(&Outcome { released_bytes: decision.release_bytes, ..Outcome::default() });
    }
    assert!(released > 0);
    assert!(seen.scavenger_cpu_ns <= 60 * SECOND / 100 / 100, "1 % of a hundredth of a CPU");
}

#[test]
fn an_exhausted_search_is_retried_twice_and_then_parks() {
    let mut process = Process::new();
    process.unreleasable_pages = 300 * MIB;
    super::bursts::burst(&mut process, SECOND, Load::pages(10, 0));
    process.run(10 * SECOND, |_| Load::pages(10, 0));
    assert!(process.is_parked());
    assert!(process.idle_bytes() >= 300 * MIB && process.idle_bytes() < 301 * MIB);
    process.mark();
    process.run(100 * SECOND, |_| Load::pages(10, 0));
    assert_eq!(process.sums().ticks, 0);
    // The reason is gone, and more was freed: everything goes.
    process.unreleasable_pages = 0;
    process.run(SECOND / 2, |_| Load::pages(400, 0));
    let ns = process.time_to_give_back(4, Load::pages(10, 0));
    assert!(ns <= 3 * SECOND, "{} ms", ns / MS);
}

#[test]
fn parts_of_huge_pages_go_when_a_busy_process_falls_idle() {
    let mut process = Process::new();
    process.parts_bytes = 900 * MIB;
    super::bursts::burst(&mut process, SECOND, Load::pages(10, 1_000));
    process.run(5 * SECOND, |_| Load::pages(10, 1_000));
    assert!(process.idle_bytes() >= 900 * MIB, "the excess is not long enough yet");
    assert!(!process.is_parked(), "only a tick can see that the process has fallen idle");
    process.run(5 * SECOND, |_| Load::pages(10, 0));
    assert!(process.idle_bytes() <= 4 * MIB, "{} MiB", process.idle_bytes() / MIB);
    assert!(process.is_parked());
}

#[test]
fn parts_of_huge_pages_go_in_a_busy_process_after_a_long_excess() {
    let mut process = Process::new();
    process.parts_bytes = 900 * MIB;
    super::bursts::burst(&mut process, SECOND, Load::pages(10, 1_000));
    // The hold of the peak, an epoch of the long excess, and another that began before the excess did.
    let ns = process.time_to_give_back(100, Load::pages(10, 1_000));
    assert!((4_500 * MS..12 * SECOND).contains(&ns), "{} ms", ns / MS);
}

#[test]
fn the_cap_on_retained_memory_holds_in_a_busy_process() {
    let mut process = Process::new();
    process.seen.retain_max_bytes = Some(32 * MIB);
    process.parts_bytes = 900 * MIB;
    for _ in 0..5 {
        process.run(SECOND, |_| Load::pages(300, 1_000));
        // The budget of a busy process allows for some 200 MiB a second.
        process.run(2 * SECOND, |_| Load::pages(20, 1_000));
        assert!(process.idle_bytes() <= 33 * MIB, "{} MiB", process.idle_bytes() / MIB);
    }
}

#[test]
fn a_short_return_for_want_of_budget_is_not_exhaustion() {
    let mut pacing = Pacing::new();
    let mut seen = idle_with(100);
    for _ in 0..60 {
        seen.now_ns += 100 * MS;
        let decision = pacing.tick(&seen);
        let released = decision.release_bytes.min(2 * MIB);
        seen.retained_bytes -= released;
        pacing.report(&Outcome { released_bytes: released, ..Outcome::default() });
    }
    assert!(seen.retained_bytes <= 2 * MIB, "{}", seen.retained_bytes);
}

#[test]
fn pressure_releases_at_once_keeps_headroom_and_does_not_spin() {
    let mut process = Process::new();
    process.seen.limit_bytes = Some(1_000 * MIB);
    process.run(5 * SECOND, |_| Load::pages(900, 1_000));
    process.run(200 * MS, |_| Load::pages(700, 1_000));
    assert!(process.idle_bytes() >= 190 * MIB, "busy and below the line: held");
    process.seen.limit_used_bytes = 960 * MIB;
    process.run(250 * MS, |_| Load::pages(700, 1_000));
    assert!(process.sums().released_mib >= 10 + 31, "{:?}", process.sums());
    assert_eq!(process.goal.backed_bytes, 950 * MIB);
    // Over the line with nothing left to release, it does not spin.
    process.run(5 * SECOND, |_| Load::pages(700, 1_000));
    process.mark();
    process.run(10 * SECOND, |_| Load::pages(700, 1_000));
    assert!(process.idle_bytes() <= 2 * MIB);
    assert!(process.is_parked());
    assert!(process.sums().ticks <= 1, "{:?}", process.sums());
    assert!(process.wake.retained_bytes <= 3 * MIB);
}

#[test]
fn a_cap_on_retained_bytes_holds_even_where_demand_says_otherwise() {
    let mut process = Process::new();
    process.seen.retain_max_bytes = Some(64 * MIB);
    process.run(5 * SECOND, super::returning_loads::sawtooth(SECOND, 1_000, 1_000));
    process.run(SECOND, |_| Load::pages(16, 1_000));
    assert!(process.idle_bytes() <= 64 * MIB, "{}", process.idle_bytes() / MIB);
    assert_eq!(process.goal.retained_bytes, 64 * MIB);
}

#[test]
fn a_cap_below_what_can_be_released_does_not_spin() {
    let mut process = Process::new();
    process.seen.retain_max_bytes = Some(0);
    process.unreleasable_pages = 20 * MIB;
    process.run(SECOND, |_| Load::pages(100, 1_000));
    process.run(10 * SECOND, |_| Load::pages(10, 0));
    assert!(process.is_parked());
    assert!(process.idle_bytes() <= 21 * MIB);
}

#[test]
fn caches_are_trimmed_and_idle_threads_drained_once_while_the_process_is_quiet() {
    let mut pacing = Pacing::new();
    let mut seen = idle_with(0);
    (seen.in_use_bytes, seen.depot_bytes) = (10 * MIB, 4 * MIB);
    let (mut drains, mut trims, mut parked_at) = (0, 0, None);
    for tick in 0..100 {
        seen.now_ns += 100 * MS;
        let decision = pacing.tick(&seen);
        assert!(decision.trim_caches || !decision.drain_idle_threads, "a drain leaves spare spans to trim");
        trims += u32::from(decision.trim_caches);
        drains += u32::from(decision.drain_idle_threads);
        if decision.trim_caches && seen.depot_bytes > MIB {
            seen.depot_bytes -= MIB;
        }
        if decision.next == Next::Park {
            parked_at = Some(tick);
            break;
        }
    }
    assert_eq!(drains, 1);
    assert!((4..=9).contains(&trims), "{trims}: until it makes no progress any more");
    assert!(parked_at.is_some_and(|tick| tick < 30), "{parked_at:?}");
}

#[test]
fn a_drain_has_a_trim_with_it_where_nothing_is_cached() {
    let mut pacing = Pacing::new();
    let mut seen = idle_with(0);
    seen.in_use_bytes = 10 * MIB;
    let drained = (0..100).find_map(|_| {
        seen.now_ns += 100 * MS;
        let decision = pacing.tick(&seen);
        decision.drain_idle_threads.then_some(decision.trim_caches)
    });
    assert_eq!(drained, Some(true), "the spans that it empties would stay as spares");
}

#[test]
fn growth_never_releases_more_than_it_added() {
    let goal = Goal { retained_bytes: 10 * MIB, backed_bytes: 100 * MIB };
    assert_eq!(goal.growth_release_bytes(10 * MIB, 50 * MIB, 4 * MIB), 0);
    assert_eq!(goal.growth_release_bytes(12 * MIB, 50 * MIB, 4 * MIB), 2 * MIB);
    assert_eq!(goal.growth_release_bytes(90 * MIB, 50 * MIB, 4 * MIB), 4 * MIB);
    assert_eq!(goal.growth_release_bytes(3 * MIB, 99 * MIB, 4 * MIB), 3 * MIB);
    assert_eq!(goal.growth_release_bytes(900 * MIB, 99 * MIB, 400 * MIB), 16 * MIB);
    assert_eq!(goal.growth_release_bytes(10 * MIB + LEAST_RELEASE_BYTES, 0, MIB), LEAST_RELEASE_BYTES);
    assert_eq!(goal.growth_release_bytes(10 * MIB + LEAST_RELEASE_BYTES - 1, 0, MIB), 0);
    assert_eq!(Goal::INITIAL.growth_release_bytes(u64::MAX, u64::MAX, u64::MAX), 16 * MIB);
    assert_eq!([32 * MIB, 33 * MIB].map(|retained| Goal::INITIAL.growth_release_bytes(retained, 0, 4 * MIB)), [0, MIB]);
    assert!(!Wake::INITIAL.is_due(4 * MIB, 7 * MIB));
}

#[test]
fn sleeps_are_bounded() {
    let mut pacing = Pacing::new();
    let mut seen = idle_with(100);
    for step in [0, 1, MS, SECOND, 3_600 * SECOND, u64::MAX] {
        seen.now_ns = seen.now_ns.saturating_add(step);
        if let Next::Sleep(ns) = pacing.tick(&seen).next {
            assert!(ns > 0 && ns <= MAX_SLEEP_NS);
        }
    }
}
