//! The policy table, one row for each trace: `cargo test -p neap policy_table -- --nocapture` prints it.
//!
//! The figures are exact, because the traces run on a simulated process. A change of the policy changes the table, and this
//! test makes sure that somebody looks at the change.

use super::super::tuning::{MIB, MS, SECOND};
use super::bursts::burst;
use super::process::{Load, Process};
use super::returning_loads::sawtooth;
use std::println;
use std::string::{String, ToString};
use std::vec::Vec;

const HEAD: &str = "\
| trace (60 s) | mean idle MiB | faulted again MiB | given back after | ticks | scavenger CPU |
|---|---|---|---|---|---|";

const EXPECTED: &str = "\
| trace (60 s) | mean idle MiB | faulted again MiB | given back after | ticks | scavenger CPU |
|---|---|---|---|---|---|
| burst of 1 GiB, clustered, then idle | 16 | 0 | 1.02 s | 11 | 78 ms |
| the same, ticking lightly | 16 | 0 | 1.02 s | 11 | 78 ms |
| the same, busy | 40 | 0 | 4.62 s | 328 | 77 ms |
| burst of 1 GiB, scattered, then idle | 185 | 0 | 1.12 s | 15 | 97 ms |
| the same, ticking lightly | 185 | 0 | 1.12 s | 15 | 97 ms |
| the same, busy | 264 | 0 | 9.32 s | 354 | 97 ms |
| burst of 1 GiB, all freed | 16 | 0 | 1.02 s | 11 | 79 ms |
| sawtooth of 0.2 s, 240 MiB, busy | 119 | 0 | 1.12 s | 305 | 0 ms |
| sawtooth of 0.2 s, 240 MiB, asleep between phases | 119 | 0 | 0.92 s | 305 | 0 ms |
| sawtooth of 1 s, 240 MiB, busy | 119 | 0 | 1.12 s | 332 | 0 ms |
| sawtooth of 1 s, 240 MiB, asleep between phases | 119 | 0 | 0.72 s | 332 | 0 ms |
| sawtooth of 5 s, 240 MiB, busy | 115 | 223 | 4.52 s | 100 | 17 ms |
| sawtooth of 5 s, 240 MiB, asleep between phases | 114 | 239 | 4.02 s | 90 | 18 ms |
| sawtooth of 30 s, 240 MiB, busy | 16 | 238 | 0.01 s | 198 | 34 ms |
| sawtooth of 30 s, 240 MiB, asleep between phases | 15 | 239 | 0.01 s | 73 | 35 ms |
| ramp up, 10 MiB a second | 0 | 0 | - | 0 | 0 ms |
| ramp down, 10 MiB a second | 52 | 0 | - | 557 | 24 ms |
| server in a steady state, 24 MiB to and fro | 11 | 0 | - | 305 | 0 ms |
| light ticking, 6 MiB once a second | 5 | 6 | - | 251 | 0 ms |";

fn row(name: &str, given_back: Option<u64>, process: &Process) -> String {
    let sums = process.sums();
    let given_back = given_back.map_or_else(|| "-".to_string(), |ns| ms(ns) + " s");
    std::format!(
        "| {name} | {} | {} | {given_back} | {} | {} ms |",
        sums.mean_idle_mib(),
        sums.refaulted_mib,
        sums.ticks,
        sums.scavenger_cpu_ns / MS
    )
}

fn ms(ns: u64) -> String {
    std::format!("{}.{:02}", ns / SECOND, ns % SECOND / (10 * MS))
}

#[test]
fn policy_table() {
    let mut rows = Vec::new();
    let mut row = |name: &str, given_back: Option<u64>, process: &Process| rows.push(row(name, given_back, process));
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
    let table = std::format!("{HEAD}\n{}", rows.join("\n"));
    println!("{table}");
    assert_eq!(table, EXPECTED, "the policy has changed: update the table here, and that in benches/results/policy.md");
}
