//! (13) Threads that wait: 800 threads work once, a few at a time, keep one object in a hundred, and then wait, as the threads
//! of a server do between requests. The driver samples the memory of the process while it waits.
//!
//! Variants: in `idle` the whole process does nothing. In `busy` one other thread goes on replacing objects, so the process
//! is not idle although 800 of its threads are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::block::{Block, TOUCH_BYTES};
use crate::measure::pages::Pages;
use crate::measure::process;
use crate::measure::raw::{self, Raw};
use crate::measure::usage::Stretch;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{Mix, Sizes};
use crate::workload::{Code, Counts, END_MARKER, Job, Kind, MARKER, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "waiting",
    about: "800 threads work through 2,000 objects of 32 B to 12 KiB each, keep one in a hundred and wait 12 s",
    operation: "object",
    variants: &["idle", "busy"],
    counts: Counts::Cores,
    kind: Kind::Idle,
    code: Code::Here(run),
};

const SIZES: Mix = &[(1000, 32, 12 << 10)];
/// Threads that wait in the end.
const THREADS: usize = 800;
/// Objects that each of them allocates.
const OBJECTS: usize = 2_000;
/// Objects of a thread that live at the same time.
const LIVE: usize = 300;
/// Every how-manieth object survives.
const ONE_IN: usize = 100;
/// Entries of a thread's table: its live objects and its survivors.
const ENTRIES: usize = LIVE + OBJECTS / ONE_IN;

/// Lets a few threads work at a time, so that all allocators see the same number of live objects.
struct Gate {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn new(places: usize) -> Self {
        Gate { free: Mutex::new(places), changed: Condvar::new() }
    }

    fn enter(&self) {
        let mut free = self.free.lock().expect("no thread panics here");
        while *free == 0 {
            free = self.changed.wait(free).expect("no thread panics here");
        }
        *free -= 1;
    }

    fn leave(&self) {
        *self.free.lock().expect("no thread panics here") += 1;
        self.changed.notify_one();
    }
}

fn object(sizes: &Sizes, random: &mut Random) -> Block {
    let bytes = sizes.pick(random.bits());
    let mut block = Block::new(bytes);
    if bytes > TOUCH_BYTES {
        block.touch();
    }
    block
}

/// One thread's work on its table. The survivors are at the end of the table afterwards.
fn work(table: &mut [Block], sizes: &Sizes, seed: u64) {
    let mut random = Random::new(seed);
    let (live, survivors) = table.split_at_mut(LIVE);
    for number in 0..OBJECTS {
        let block = object(sizes, &mut random);
        if number % ONE_IN == 0 {
            survivors[number / ONE_IN] = block;
        } else {
            live[number % LIVE] = block;
        }
    }
    for block in live {
        block.release();
    }
}

/// Replaces objects until `over`; answers how many.
fn stay_busy(over: &AtomicBool, sizes: &Sizes, table: &mut [Block]) -> u64 {
    let mut random = Random::new(99);
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..1_000 {
            let slot = &mut table[random.below(LIVE)];
            slot.release();
            *slot = object(sizes, &mut random);
        }
        count += 1_000;
    }
    for slot in table {
        slot.release();
    }
    count
}

fn run(job: &Job) -> Outcome {
    let threads = job.scale.pick(THREADS, THREADS, THREADS / 40);
    let idle = job.scale.pick(Duration::from_secs(12), Duration::from_secs(5), Duration::from_millis(50));
    let sizes = Sizes::new(SIZES, 13);
    let mut table = Raw::<Block>::zeroed(threads * ENTRIES);
    let mut busy_table = Raw::<Block>::zeroed(LIVE);
    let mut pages = Pages::with_room_for(threads * (ENTRIES - LIVE));
    let gate = Gate::new(job.threads);
    let (start, done, leave) = (Barrier::new(threads + 1), Barrier::new(threads + 1), Barrier::new(threads + 1));
    let over = AtomicBool::new(false);
    let (worked, idle_usage, before, busy_ops) = std::thread::scope(|scope| {
        for (index, table) in table.chunks_mut(ENTRIES).enumerate() {
            let (sizes, gate, start, done, leave) = (&sizes, &gate, &start, &done, &leave);
            let body = move || {
                start.wait();
                gate.enter();
                work(table, sizes, index as u64);
                gate.leave();
                done.wait();
                leave.wait();
            };
            let builder = std::thread::Builder::new().stack_size(64 << 10);
            builder.spawn_scoped(scope, body).expect("the machine has room for the threads");
        }
        // All threads are there and wait for the start, but for the last ones on their way to it.
        std::thread::sleep(Duration::from_millis(20));
        let before = process::rss_bytes().saturating_sub(raw::live_bytes() as u64);
        let stretch = Stretch::start();
        start.wait();
        done.wait();
        let worked = stretch.end();
        process::write_line(MARKER);
        let stretch = Stretch::start();
        let helper = (job.variant == "busy").then(|| {
            let (over, sizes, table) = (&over, &sizes, &mut busy_table[..]);
            scope.spawn(move || stay_busy(over, sizes, table))
        });
        let end = Instant::now() + idle;
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        over.store(true, Ordering::Relaxed);
        let usage = stretch.end().1;
        process::write_line(END_MARKER);
        let busy_ops = helper.map_or(0, |helper| helper.join().expect("the busy thread does not panic"));
        leave.wait();
        (worked, usage, before, busy_ops)
    });
    let tables = raw::live_bytes();
    let (optimum, live) = pages.optimum(table.iter());
    let mut outcome = Outcome::new((threads * OBJECTS) as u64, worked);
    outcome.set("page_optimum_bytes", optimum);
    outcome.set("live_bytes", live);
    outcome.set("idle_bookkeeping_bytes", tables as u64);
    outcome.set("baseline_rss_bytes", before);
    outcome.set("idle_cpu_ns", idle_usage.cpu_ns());
    outcome.set("idle_faults", idle_usage.minor_faults);
    outcome.set("idle_waits", idle_usage.waits);
    outcome.set("busy_ops", busy_ops);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_survives() {
        let mut table = Raw::<Block>::zeroed(ENTRIES);
        work(&mut table, &Sizes::new(SIZES, 13), 5);
        assert!(table[..LIVE].iter().all(|block| !block.is_some()));
        assert!(table[LIVE..].iter().all(|block| block.is_some() && block.first_word() >= 32));
    }

    #[test]
    fn the_gate_lets_only_so_many_in() {
        let (gate, inside, most) = (Gate::new(2), Mutex::new(0), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    gate.enter();
                    let now = {
                        let mut inside = inside.lock().unwrap();
                        *inside += 1;
                        *inside
                    };
                    let mut most = most.lock().unwrap();
                    *most = now.max(*most);
                    drop(most);
                    std::thread::sleep(Duration::from_millis(5));
                    *inside.lock().unwrap() -= 1;
                    gate.leave();
                });
            }
        });
        assert!((1..=2).contains(&*most.lock().unwrap()));
    }
}
