//! (9) Burst, then idle: two threads allocate 1 GiB of small objects and free all but 2 %, or all. Then the process does
//! nothing, or next to nothing. The driver samples its memory from outside.
//!
//! The survivors are scattered (each object survives with the same chance) or clustered (runs of 1,000 neighbours). The *page
//! optimum* is the least that survivors need: the bytes of all OS pages that hold a part of a live object.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::block::Block;
use crate::measure::pages::Pages;
use crate::measure::process;
use crate::measure::raw::{self, Raw};
use crate::measure::usage::Stretch;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{SMALL, Sizes};
use crate::workload::{Code, Counts, END_MARKER, Job, Kind, MARKER, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "burst",
    about: "1 GiB of small objects, 98 % freed (or all), then 12 s idle or with a light tick",
    operation: "object",
    variants: &["scattered", "clustered", "scattered-tick", "clustered-tick", "all-freed"],
    counts: Counts::Cores,
    kind: Kind::Idle,
    code: Code::Here(run),
};

/// Bytes of the burst.
const BURST_BYTES: usize = 1 << 30;
/// The mean of the size mix is above this: enough slots for the burst.
const LEAST_MEAN: usize = 330;
/// Objects of a cluster.
const CLUSTER: usize = 1_000;
/// Every how-manieth object or cluster survives.
const ONE_IN: usize = 50;

/// Where an object survives.
fn survives(variant: &str, index: usize, random: &mut Random) -> bool {
    match variant {
        "all-freed" => false,
        _ if variant.starts_with("clustered") => (index / CLUSTER).is_multiple_of(ONE_IN),
        _ => random.below(ONE_IN) == 0,
    }
}

/// One thread's objects: those that will die and those that will live.
struct Part {
    mortal: Option<Raw<Block>>,
    survivors: Raw<Block>,
    survivors_len: usize,
    ops: u64,
}

impl Part {
    fn new(bytes: usize) -> Self {
        let slots = bytes / LEAST_MEAN;
        Part {
            mortal: Some(Raw::zeroed(slots)),
            survivors: Raw::zeroed(slots / ONE_IN * 5 / 4 + CLUSTER),
            survivors_len: 0,
            ops: 0,
        }
    }

    /// Fills up to `bytes`, frees the mortal, and gives the table of the mortal back.
    fn burst(&mut self, bytes: usize, variant: &str, sizes: &Sizes, seed: u64, meet: &Barrier) {
        let mut mortal = self.mortal.take().expect("a part has one burst");
        let mut random = Random::new(seed);
        let (mut index, mut sum) = (0, 0);
        while sum < bytes && index < mortal.len() {
            let size = sizes.pick(random.bits());
            let block = Block::new(size);
            sum += size;
            if survives(variant, index, &mut random) && self.survivors_len < self.survivors.len() {
                self.survivors[self.survivors_len] = block;
                self.survivors_len += 1;
            } else {
                mortal[index] = block;
            }
            index += 1;
        }
        self.ops = index as u64;
        // Nobody frees before all have allocated: the burst is 1 GiB at once.
        meet.wait();
        for block in mortal.iter_mut() {
            block.release();
        }
    }
}

fn run(job: &Job) -> Outcome {
    let bytes = job.scale.pick(BURST_BYTES, BURST_BYTES, BURST_BYTES / 500) / job.threads;
    let idle = job.scale.pick(Duration::from_secs(12), Duration::from_secs(5), Duration::from_millis(50));
    let sizes = Sizes::new(SMALL, 9);
    let mut parts: Vec<_> = (0..job.threads).map(|_| Part::new(bytes)).collect();
    let survivors: usize = parts.iter().map(|part| part.survivors.len()).sum();
    let mut pages = Pages::with_room_for(survivors);
    // Less the benchmark's own tables, as all memory of this workload is given.
    let baseline = process::rss_bytes().saturating_sub(raw::live_bytes() as u64);
    let meet = Barrier::new(job.threads);
    let done = Barrier::new(job.threads);
    let quiet = Barrier::new(job.threads);
    let stretch = Stretch::start();
    let (first, others) = parts.split_first_mut().expect("at least one thread");
    let (burst, idle_usage, tables) = std::thread::scope(|scope| {
        for (index, part) in others.iter_mut().enumerate() {
            let (sizes, meet, done, quiet) = (&sizes, &meet, &done, &quiet);
            scope.spawn(move || {
                part.burst(bytes, job.variant, sizes, 1 + index as u64, meet);
                done.wait();
                // This thread stays, asleep, with whatever its cache holds.
                quiet.wait();
            });
        }
        first.burst(bytes, job.variant, &sizes, 0, &meet);
        done.wait();
        let burst = stretch.end();
        let tables = raw::live_bytes();
        process::write_line(MARKER);
        let stretch = Stretch::start();
        wait(idle, job.variant.ends_with("-tick"));
        let usage = stretch.end().1;
        process::write_line(END_MARKER);
        quiet.wait();
        (burst, usage, tables)
    });
    let (optimum, live) = pages.optimum(parts.iter().flat_map(|part| &part.survivors[..part.survivors_len]));
    let mut outcome = Outcome::new(parts.iter().map(|part| part.ops).sum(), burst);
    outcome.set("page_optimum_bytes", optimum);
    outcome.set("live_bytes", live);
    outcome.set("idle_bookkeeping_bytes", tables as u64);
    outcome.set("baseline_rss_bytes", baseline);
    outcome.set("idle_cpu_ns", idle_usage.cpu_ns());
    outcome.set("idle_faults", idle_usage.minor_faults);
    outcome.set("idle_waits", idle_usage.waits);
    outcome
}

/// Sleeps, or sleeps in steps of 100 ms with a hundred small objects allocated and freed in each.
fn wait(time: Duration, tick: bool) {
    if !tick {
        return std::thread::sleep(time);
    }
    let end = Instant::now() + time;
    let mut random = Random::new(99);
    while Instant::now() < end {
        let mut objects: [Block; 100] = [const { Block::NONE }; 100];
        for object in &mut objects {
            *object = Block::new(random.between(16, 1024));
        }
        drop(objects);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_percent_survive() {
        for variant in ["scattered", "clustered", "clustered-tick"] {
            let mut random = Random::new(5);
            let count = (0..100_000).filter(|index| survives(variant, *index, &mut random)).count();
            assert!((1_900..2_100).contains(&count), "{variant}: {count}");
        }
        assert!(!survives("all-freed", 0, &mut Random::new(5)));
    }
}
