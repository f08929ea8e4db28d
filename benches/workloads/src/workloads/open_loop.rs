//! (15) Open loop: requests arrive at random times at a fixed rate, whether or not the thread is ready, and work on a cache
//! of object graphs. A request waits while the thread serves the ones before, and its waiting counts. So a stall of the
//! allocator shows in all requests that arrive meanwhile, and not only in the request that met it.
//!
//! Variants: in `load-40` the rate keeps each processor some 40 % busy (the figure `busy` tells how much). In `load-100`
//! the same requests come back to back; nobody waits, and a latency is a service time.
//!
//! Stages: the first second, in which the process starts and the cache fills; the steady state with a full cache; and
//! growth, which begins when the cache is enlarged in the middle of the run. The latencies of each stage are figures of
//! their own.
//!
//! A thread that waits for an arrival sleeps, as servers do. The kernel wakes it up late, and this lateness is not the
//! allocator's: latencies count from the wake-up. The figure `late` tells the lateness.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::measure::process;
use crate::measure::raw::{self, Raw};
use crate::outcome::Outcome;
use crate::parts::cache::Cache;
use crate::parts::graph::Value;
use crate::random::Random;
use crate::threads;
use crate::workload::{Code, Counts, END_MARKER, Job, Kind, MARKER, Workload};

mod arrivals;

use arrivals::{Plan, STAGES, Stage};

pub(super) const WORKLOAD: Workload = Workload {
    name: "open-loop",
    about: "requests arrive at random at 15,000 a second and thread and work on a cache that grows from 48 to 112 MiB; waiting counts",
    operation: "request",
    variants: &["load-40", "load-100"],
    counts: Counts::Cores,
    kind: Kind::Paced,
    code: Code::Here(run),
};

/// Requests a second, for each thread.
const RATE: f64 = 15_000.0;
/// Bytes of the cache, all threads together, and how much it is enlarged by.
const CACHE_BYTES: usize = 48 << 20;
const MORE_BYTES: usize = 64 << 20;
/// The stages.
const PLAN: Plan =
    Plan { first_ends: 1_000_000_000, growth_begins: 3_000_000_000, growth_ends: 3_700_000_000, end: 5_000_000_000 };
/// Levels of an object graph.
const DEPTH: usize = 4;
/// A gap that is shorter is waited for awake: sleeping and waking up takes longer.
const AWAKE_NS: u64 = 20_000;
/// A latency beyond this ends the scale.
const LONGEST_NS: u64 = 60_000_000_000;

/// What one thread has seen, for each request: the arrival (from the plan), the latency, and the lateness of a wake-up.
struct State {
    arrivals: Raw<u64>,
    latencies: Raw<u64>,
    late: Raw<u64>,
    busy_ns: u64,
    checksum: u64,
}

/// One request: a new graph goes into the cache, an old one is read, and a reply is made and dropped.
fn serve(cache: &Cache, thread: u64, number: u64, random: &mut Random) -> u64 {
    // Numbers of both threads alternate over the shards of the cache.
    let key = |number: u64| number * 31 + thread * 7_000_003;
    let graph = Arc::new(Value::build(random, DEPTH));
    let bytes = graph.bytes();
    cache.insert(key(number), graph, bytes);
    let mut reply = String::new();
    if let Some(old) = cache.get(key(number - random.below(1000).min(number as usize) as u64)) {
        old.render(&mut reply);
    }
    reply.len() as u64
}

/// Serves the arrivals of one thread; `start` is time zero.
fn work(state: &mut State, start: Instant, index: usize, cache: &Cache, plan: &Plan, paced: bool) {
    let mut random = Random::new(150 + index as u64);
    // The end of the request before, and the last wake-up.
    let (mut ended, mut woken) = (start.elapsed().as_nanos() as u64, 0);
    for number in 0..state.arrivals.len() {
        let arrival = state.arrivals[number];
        if arrival == u64::MAX {
            break;
        }
        if plan.stage(arrival) == Stage::Growth {
            cache.set_bytes(CACHE_BYTES + MORE_BYTES);
        }
        let mut begin = ended;
        if paced && ended < arrival {
            begin = wait_until(start, arrival);
            woken = begin;
            state.late[number] = begin - arrival;
        }
        state.checksum += serve(cache, index as u64, number as u64 + 1, &mut random);
        ended = start.elapsed().as_nanos() as u64;
        state.busy_ns += ended - begin;
        state.latencies[number] = ended - if paced { arrival.max(woken) } else { begin };
    }
}

/// Waits until `arrival`, asleep or, if it is near, awake; answers what the time is then.
fn wait_until(start: Instant, arrival: u64) -> u64 {
    loop {
        let now = start.elapsed().as_nanos() as u64;
        match arrival.saturating_sub(now) {
            0 => return now,
            gap if gap > AWAKE_NS => std::thread::sleep(Duration::from_nanos(gap)),
            _ => std::hint::spin_loop(),
        }
    }
}

/// Lets the kernel wake this thread up as punctually as it can.
fn ask_for_punctuality() {
    // SAFETY: the request concerns the calling thread's timers only. A failure leaves them as they were.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1usize) };
}

fn run(job: &Job) -> Outcome {
    let part = job.scale.pick(1, 1, 50);
    let plan = Plan {
        first_ends: PLAN.first_ends / part,
        growth_begins: PLAN.growth_begins / part,
        growth_ends: PLAN.growth_ends / part,
        end: PLAN.end / part,
    };
    let paced = job.variant == "load-40";
    let mut states: Vec<_> = (0..job.threads)
        .map(|index| {
            let arrivals = arrivals::arrivals(RATE, plan.end, &mut Random::new(1500 + index as u64));
            let count = arrivals.len();
            State { arrivals, latencies: Raw::zeroed(count), late: Raw::zeroed(count), busy_ns: 0, checksum: 0 }
        })
        .collect();
    let cache = Cache::new(CACHE_BYTES);
    let tables = raw::live_bytes();
    process::write_line(MARKER);
    let start = Instant::now();
    let measured = threads::run(&mut states, |index, state| {
        ask_for_punctuality();
        work(state, start, index, &cache, &plan, paced);
    });
    process::write_line(END_MARKER);
    report(&states, &plan, measured, tables)
}

fn report(states: &[State], plan: &Plan, measured: (u64, crate::measure::usage::Usage), tables: usize) -> Outcome {
    let count = |state: &State| state.arrivals.iter().filter(|time| **time != u64::MAX).count();
    let ops: usize = states.iter().map(count).sum();
    let wall_ns = measured.0;
    let mut outcome = Outcome::new(ops as u64, measured);
    let histogram = || Histogram::<u64>::new_with_max(LONGEST_NS, 3).expect("the bounds are valid");
    let mut late = histogram();
    for (stage, names) in STAGES.iter().zip(NAMES) {
        let mut latencies = histogram();
        for state in states {
            for number in 0..count(state) {
                if plan.stage(state.arrivals[number]) == *stage {
                    latencies.saturating_record(state.latencies[number]);
                }
                if *stage == Stage::Steady && state.late[number] > 0 {
                    late.saturating_record(state.late[number]);
                }
            }
        }
        for (name, part) in names.into_iter().zip([0.5, 0.99, 0.999, 0.9999, 1.0]) {
            outcome.set(name, latencies.value_at_quantile(part));
        }
    }
    outcome.set("late_p99_ns", late.value_at_quantile(0.99));
    let busy: u64 = states.iter().map(|state| state.busy_ns).sum();
    outcome.set("busy_per_mille", 1000 * busy / (wall_ns * states.len() as u64).max(1));
    outcome.set("checksum", states.iter().map(|state| state.checksum).sum());
    outcome.set("idle_bookkeeping_bytes", tables as u64);
    outcome
}

/// The names of the figures of each stage: median, 99 %, 99.9 %, 99.99 %, longest.
const NAMES: [[&str; 5]; 3] = [
    ["first_p50_ns", "first_p99_ns", "first_p999_ns", "first_p9999_ns", "first_max_ns"],
    ["steady_p50_ns", "steady_p99_ns", "steady_p999_ns", "steady_p9999_ns", "steady_max_ns"],
    ["growth_p50_ns", "growth_p99_ns", "growth_p999_ns", "growth_p9999_ns", "growth_max_ns"],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A state with the given arrivals.
    fn state(times: &[u64]) -> State {
        let mut arrivals = Raw::zeroed(times.len());
        arrivals.copy_from_slice(times);
        let zeroed = || Raw::zeroed(times.len());
        State { arrivals, latencies: zeroed(), late: zeroed(), busy_ns: 0, checksum: 0 }
    }

    #[test]
    fn requests_that_arrive_together_wait_for_each_other() {
        let plan = Plan { first_ends: 1, growth_begins: 2, growth_ends: 3, end: u64::MAX };
        let mut state = state(&[2_000_000, 2_000_000, 2_000_000, 2_000_000]);
        work(&mut state, Instant::now(), 0, &Cache::new(1 << 20), &plan, true);
        assert!(state.latencies.is_sorted(), "{:?}", &state.latencies[..]);
        assert_eq!(state.latencies[3], state.busy_ns, "the last one waited for all others");
        assert_eq!(state.late[1..], [0, 0, 0], "the thread slept before the first only");
    }

    #[test]
    fn back_to_back_nobody_waits() {
        let plan = Plan { first_ends: 1, growth_begins: 2, growth_ends: 3, end: u64::MAX };
        let mut state = state(&[0, 0, 0, u64::MAX]);
        work(&mut state, Instant::now(), 0, &Cache::new(1 << 20), &plan, false);
        assert_eq!(state.latencies[..3].iter().sum::<u64>(), state.busy_ns);
        assert_eq!(state.latencies[3], 0, "no request");
    }
}
