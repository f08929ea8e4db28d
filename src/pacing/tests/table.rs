//! Prints the policy table, one row for each trace: `cargo test -p neap policy_table -- --nocapture`.

use super::super::tuning::{MIB, MS, SECOND};
use super::bursts::burst;
use super::process::{Load, Process};
use super::returning_loads::sawtooth;
use std::println;
use std::string::{String, ToString};

fn row(name: &str, given_back: Option<u64>, process: &Process) {
    let sums = process.sums();
    let given_back = given_back.map_or_else(|| "-".to_string(), |ns| ms(ns) + " s");
    println!(
        "| {name} | {} | {} | {given_back} | {} | {} ms |",
        sums.mean_idle_mib(),
        sums.refaulted_mib,
        sums.ticks,
        sums.scavenger_cpu_ns / MS
    );
}

fn ms(ns: u64) -> String {
    std::format!("{}.{:02}", ns / SECOND, ns % SECOND / (10 * MS))
}

#[test]
fn policy_table() {
    println!("| trace (60 s) | mean idle MiB | faulted again MiB | given back after | ticks | scavenger CPU |");
    println!("|---|---|---|---|---|---|");
    for (name, load, unreleasable) in [
        ("burst of 1 GiB, clustered, then idle", Load::pages(23, 0), 0),
        ("the same, ticking lightly", Load::pages(23, 20), 0),
        ("the same, busy", Load::pages(23, 1_000), 0),
        ("burst of 1 GiB, scattered, then idle", Load::pages(1024, 0).with_live(20), 170),
        ("the same, ticking lightly", Load::pages(1024, 20).with_live(20), 170),
        ("the same, busy", Load::pages(1024, 1_000).with_live(20), 170),
        ("burst of 1 GiB, all freed", Load::pages(0, 0), 0),
    ] {
        let mut process = Process::new();
        process.unreleasable_holes = unreleasable * MIB;
        burst(&mut process, SECOND / 2, load);
        let began = process.seen.now_ns;
        let ns = process.time_to_give_back(unreleasable + 8, load);
        process.run(60 * SECOND - (process.seen.now_ns - began), |_| load);
        row(name, Some(ns), &process);
    }
    for (name, period) in [("0.2 s", 200 * MS), ("1 s", SECOND), ("5 s", 5 * SECOND), ("30 s", 30 * SECOND)] {
        for (how, high, low) in [("busy", 1_000, 1_000), ("asleep between phases", 300, 0)] {
            let mut process = Process::new();
            process.run(60 * SECOND, sawtooth(period, high, low));
            let gone = Load::pages(16, 0);
            let mut after = Process::new();
            after.run(60 * SECOND, sawtooth(period, high, low));
            let ns = after.time_to_give_back(8, gone);
            row(&std::format!("sawtooth of {name}, 240 MiB, {how}"), Some(ns), &process);
        }
    }
    let mut process = Process::new();
    process.run(60 * SECOND, |ns| Load::pages(100 + ns / SECOND * 10, 1_000));
    row("ramp up, 10 MiB a second", None, &process);
    process.mark();
    process.run(60 * SECOND, |ns| Load::pages(690 - ns / SECOND * 10, 1_000));
    row("ramp down, 10 MiB a second", None, &process);
    let mut process = Process::new();
    process.run(60 * SECOND, |ns| Load::pages(400 + ns / (10 * MS) * 7 % 24, 700));
    row("server in a steady state, 24 MiB to and fro", None, &process);
    let mut process = Process::new();
    process.run(60 * SECOND, |ns| Load::pages(if ns % SECOND < 20 * MS { 56 } else { 50 }, 20));
    row("light ticking, 6 MiB once a second", None, &process);
}
