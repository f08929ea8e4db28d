//! Loads that come back: what the process keeps, and what faults in again.

use super::super::tuning::{MIB, MS, SECOND};
use super::process::{Load, Process, Sums};

/// Half a period at 256 MiB, half at 16 MiB, with slopes of a tenth of a period.
pub(super) fn sawtooth(period_ns: u64, busy_cpu: u64, low_cpu: u64) -> impl FnMut(u64) -> Load {
    move |ns| {
        let at = ns % period_ns * 1_000 / period_ns;
        let share = match at {
            0..100 => at * 10,
            100..500 => 1_000,
            500..600 => (600 - at) * 10,
            _ => 0,
        };
        Load::pages(16 + 240 * share / 1_000, if share > 0 { busy_cpu } else { low_cpu })
    }
}

/// A minute to learn, then two minutes that count.
fn steady(period_ns: u64, busy_cpu: u64, low_cpu: u64) -> Sums {
    let mut process = Process::new();
    let mut load = sawtooth(period_ns, busy_cpu, low_cpu);
    process.run(60 * SECOND, &mut load);
    process.mark();
    process.run(120 * SECOND, &mut load);
    process.sums()
}

#[test]
fn a_busy_load_that_returns_every_second_never_faults_again() {
    for period in [200 * MS, SECOND] {
        let mut process = Process::new();
        process.run(60 * SECOND, sawtooth(period, 1_000, 1_000));
        assert!(process.sums().refaulted_mib <= 25, "{period}: {:?}", process.sums());
    }
}

#[test]
fn a_load_that_sleeps_between_its_phases_is_learnt_from_one_return() {
    for period in [200 * MS, SECOND, 2 * SECOND, 5 * SECOND] {
        let mut process = Process::new();
        process.run(60 * SECOND, sawtooth(period, 300, 0));
        assert!(process.sums().refaulted_mib <= 2 * 240, "{period}: {:?}", process.sums());
        assert_eq!(steady(period, 300, 0).refaulted_mib, 0, "{period}");
    }
}

/// Phases of changing kinds of objects. The process is busy for a quarter of each second and sleeps else. Its live memory
/// returns every second. Each second's kind of objects leaves free slots and pages behind that only its own kind can use.
fn changing_phases(ns: u64) -> Load {
    let (second, at) = (ns / SECOND, ns % SECOND / MS);
    let in_use = [240, 440, 570][second.min(2) as usize];
    let live = match at {
        0..100 => 20 + at * 2,
        100..250 => 220,
        _ => 20,
    };
    Load::pages(in_use, if at < 250 { 1_500 } else { 0 }).with_live(live)
}

#[test]
fn phases_of_changing_kinds_keep_their_holes_while_they_go_on() {
    let mut process = Process::new();
    process.run(6 * SECOND, changing_phases);
    assert_eq!(process.sums().refaulted_mib, 0, "{:?}", process.sums());
    assert_eq!(process.sums().released_mib, 0, "{:?}", process.sums());
    let ns = process.time_to_give_back(8, Load::pages(20, 0));
    assert!(ns <= 1_700 * MS, "when they are over, the holes go as after any burst: {} ms", ns / MS);
}

#[test]
fn a_load_that_returns_every_thirty_seconds_gives_its_memory_back_in_between() {
    for low_cpu in [0, 1_000] {
        let sums = steady(30 * SECOND, 1_000, low_cpu);
        assert!(sums.mean_idle_mib() <= 60, "{sums:?}");
        assert!(sums.refaulted_mib <= 5 * 240, "{sums:?}");
    }
}

#[test]
fn what_was_learnt_is_forgotten_once_the_load_stays_away() {
    let mut process = Process::new();
    process.run(60 * SECOND, sawtooth(5 * SECOND, 300, 0));
    let ns = process.time_to_give_back(4, Load::pages(16, 0));
    assert!(ns <= 11 * SECOND, "{} ms", ns / MS);
    process.run(30 * SECOND, |_| Load::pages(16, 0));
    super::bursts::burst(&mut process, SECOND / 2, Load::pages(16, 0));
    let ns = process.time_to_give_back(4, Load::pages(16, 0));
    assert!(ns <= 1_700 * MS, "a later burst goes as fast as ever: {} ms", ns / MS);
}

#[test]
fn noise_keeps_its_amplitude_and_little_more() {
    let mut process = Process::new();
    let mut state = 1_u64;
    let mut noise = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Load::pages(200 + (state >> 33) % 40, 1_000)
    };
    process.run(10 * SECOND, &mut noise);
    process.mark();
    process.run(60 * SECOND, &mut noise);
    assert!(process.sums().refaulted_mib <= 4, "{:?}", process.sums());
    assert!(process.sums().mean_idle_mib() <= 60, "{:?}", process.sums());
}

#[test]
fn a_slow_cycle_is_followed_closely() {
    // An hour from 100 MiB to 1 GiB and back.
    let mut process = Process::new();
    let mut load = |ns: u64| {
        let at = ns / (3_600 * SECOND / 1_000) % 1_000;
        Load::pages(100 + 924 * if at < 500 { at } else { 1_000 - at } / 500, 700)
    };
    process.run(3_600 * SECOND, &mut load);
    assert!(process.sums().mean_idle_mib() <= 70, "{:?}", process.sums());
    assert!(process.sums().refaulted_mib <= 32, "{:?}", process.sums());
    assert!(process.idle_bytes() <= 128 * MIB);
}
