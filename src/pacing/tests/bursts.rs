//! Bursts that do not come back: what the process gives back, and how soon.

use super::super::tuning::{MIB, MS, SECOND};
use super::process::{Load, Process};

/// Grows to 1 GiB in 0.6 s, holds it for `held_ns`, frees within 0.3 s down to `left`, busy all the time.
pub(super) fn burst(process: &mut Process, held_ns: u64, left: Load) {
    process.run(SECOND / 2, |_| Load::pages(1, 1_000));
    process.run(600 * MS, |ns| Load::pages(1 + 1023 * ns / (600 * MS), 1_000));
    process.run(held_ns, |_| Load::pages(1024, 1_000));
    process.run(300 * MS, |ns| {
        let towards = |to: u64| (1024 - (1024 - to / MIB) * ns / (300 * MS)) * MIB;
        Load { in_use: towards(left.in_use), live: towards(left.live), cpu: 1_000 }
    });
    process.mark();
}

/// The ways a process goes on after its burst: fully idle, or ticking lightly.
fn afterwards(left: Load) -> [(&'static str, Load); 2] {
    [("idle", Load { cpu: 0, ..left }), ("ticking", Load { cpu: 20, ..left })]
}

#[test]
fn clustered_survivors_leave_little_after_two_seconds() {
    for (name, load) in afterwards(Load::pages(23, 0)) {
        let mut process = Process::new();
        burst(&mut process, SECOND / 2, load);
        process.run(2 * SECOND, |_| load);
        assert!(process.idle_bytes() <= 2 * MIB, "{name}: {} MiB", process.idle_bytes() / MIB);
        assert!(process.sums().scavenger_cpu_ns <= 150 * MS, "{name}: {:?}", process.sums());
        process.mark();
        process.run(10 * SECOND, |_| load);
        assert!(process.is_parked(), "{name}");
        assert!(process.sums().ticks <= 5, "{name}: {:?}", process.sums());
    }
}

#[test]
fn scattered_survivors_come_near_the_page_optimum() {
    // 20 MiB live; the OS pages that hold them add up to 190 MiB, so 170 MiB of holes cannot be released.
    for (name, load) in afterwards(Load::pages(1024, 0).with_live(20)) {
        let mut process = Process::new();
        process.unreleasable_holes = 170 * MIB;
        burst(&mut process, SECOND / 2, load);
        process.run(2 * SECOND, |_| load);
        let backed = |process: &Process| (process.idle_bytes() + 20 * MIB) / MIB;
        assert!(backed(&process) <= 195, "{name}: {} MiB after two seconds", backed(&process));
        assert!(process.sums().scavenger_cpu_ns <= 150 * MS, "{name}: {:?}", process.sums());
        process.run(8 * SECOND, |_| load);
        assert!(backed(&process) <= 192, "{name}: {} MiB after ten seconds", backed(&process));
        process.mark();
        process.run(60 * SECOND, |_| load);
        assert!(process.is_parked(), "{name}");
        assert_eq!(process.sums().ticks, 0, "{name}: nothing to do, so no wake-ups");
    }
}

#[test]
fn all_freed_is_all_given_back() {
    for (name, load) in afterwards(Load::pages(0, 0)) {
        let mut process = Process::new();
        burst(&mut process, SECOND / 2, load);
        let ns = process.time_to_give_back(4, load);
        assert!(ns <= 1_500 * MS, "{name}: {} ms", ns / MS);
    }
}

#[test]
fn a_busy_process_gives_a_burst_back_within_its_cpu_budget() {
    let load = Load::pages(23, 1_000);
    let mut process = Process::new();
    burst(&mut process, 5 * SECOND, load);
    process.run(10 * SECOND, |_| load);
    // Two CPUs: 1 % of twenty seconds of CPU time.
    assert!(process.sums().scavenger_cpu_ns <= 200 * MS, "{:?}", process.sums());
    assert!(process.idle_bytes() <= 16 * MIB, "{} MiB", process.idle_bytes() / MIB);
}

#[test]
fn a_burst_before_the_long_pause_of_the_scavenger_is_seen_too() {
    let mut process = Process::new();
    process.run(60 * SECOND, |_| Load::pages(10, 1_000));
    assert!(process.is_parked());
    let ns = {
        burst(&mut process, 20 * SECOND, Load::pages(10, 0));
        process.time_to_give_back(4, Load::pages(10, 0))
    };
    assert!(ns <= 1_700 * MS, "{} ms", ns / MS);
}

#[test]
fn small_programs_never_start_the_scavenger() {
    let mut process = Process::new();
    for _ in 0..10 {
        process.run(SECOND, |ns| Load::pages(if ns < SECOND / 2 { 4 } else { 1 }, 1_000));
    }
    assert_eq!(process.sums().ticks, 0);
}

#[test]
fn late_ticks_and_short_peaks_change_little() {
    for late_ns in [0, 50 * MS, 200 * MS] {
        for held_ns in [0, 50 * MS, 3 * SECOND] {
            let mut process = Process::new();
            process.late_ns = late_ns;
            burst(&mut process, held_ns, Load::pages(20, 0));
            let ns = process.time_to_give_back(8, Load::pages(20, 0));
            let most = if late_ns == 200 * MS { 3_000 * MS } else { 1_700 * MS };
            assert!(ns <= most, "{} ms late, held {} ms: {} ms", late_ns / MS, held_ns / MS, ns / MS);
        }
    }
}
