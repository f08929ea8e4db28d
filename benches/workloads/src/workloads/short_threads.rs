//! (8) Thousands of short threads, a few alive at a time, whose blocks outlive them.
//!
//! In the plain variant each thread allocates 64 small objects, frees them together with a block of an earlier thread, and
//! hands a block of its own on. In `handed` each thread allocates 200 objects and frees half of them; the thread that
//! started it frees the other half.

use std::collections::VecDeque;
use std::thread::JoinHandle;

use crate::measure::usage::Stretch;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::workload::{Code, Counts, Job, Kind, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "short-threads",
    about: "4,000 threads of 64 small objects, 8 alive at a time, blocks handed on; `handed`: 10,000 threads of 200, 4 alive, half freed by the parent",
    operation: "thread",
    variants: &["", "handed"],
    counts: Counts::Cores,
    kind: Kind::Speed,
    code: Code::Here(run),
};

/// Threads in all, and those alive at a time.
const THREADS: usize = 4_000;
const ALIVE: usize = 8;
/// Objects of a thread.
const OBJECTS: usize = 64;

/// The same in the variant `handed`.
const HANDED_THREADS: usize = 10_000;
const HANDED_ALIVE: usize = 4;
const HANDED_OBJECTS: usize = 200;

type Object = Box<[u8]>;

/// One thread's life: it frees what it inherited and hands one object on.
fn live(seed: u64, inherited: Option<Object>) -> Object {
    let mut random = Random::new(seed);
    let mut objects: Vec<Object> = Vec::with_capacity(OBJECTS);
    for _ in 0..OBJECTS {
        objects.push(vec![1u8; random.between(16, 512)].into_boxed_slice());
    }
    drop(inherited);
    drop(objects);
    vec![2u8; random.between(64, 4096)].into_boxed_slice()
}

/// One thread's life in the variant `handed`: it leaves every second object to its parent.
fn live_handed(seed: u64) -> Vec<Object> {
    let mut random = Random::new(seed);
    let mut handed = Vec::with_capacity(HANDED_OBJECTS / 2);
    let mut own = Vec::with_capacity(HANDED_OBJECTS / 2);
    for number in 0..HANDED_OBJECTS {
        let object = vec![3u8; random.between(16, 1024)].into_boxed_slice();
        if number % 2 == 0 { own.push(object) } else { handed.push(object) }
    }
    handed
}

/// Runs `count` threads, `most` alive at a time. `next` makes the body of a thread of its number and of the result of the
/// oldest thread, which has just ended.
fn in_turn<T, F>(count: usize, most: usize, mut next: impl FnMut(u64, Option<T>) -> F)
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let mut alive: VecDeque<JoinHandle<T>> = VecDeque::with_capacity(most);
    for seed in 0..count as u64 {
        let ended = if alive.len() == most { alive.pop_front().map(finish) } else { None };
        let handle = std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(next(seed, ended))
            .expect("the machine has room for eight threads");
        alive.push_back(handle);
    }
    for handle in alive {
        drop(finish(handle));
    }
}

fn run(job: &Job) -> Outcome {
    let handed = job.variant == "handed";
    let (threads, most) = if handed { (HANDED_THREADS, HANDED_ALIVE) } else { (THREADS, ALIVE) };
    let count = job.scale.of(threads).max(2 * most);
    let stretch = Stretch::start();
    if handed {
        in_turn(count, most, |seed, ended| {
            drop(ended);
            move || live_handed(seed)
        });
    } else {
        in_turn(count, most, |seed, inherited| move || live(seed, inherited));
    }
    Outcome::new(count as u64, stretch.end())
}

fn finish<T>(handle: JoinHandle<T>) -> T {
    handle.join().expect("short threads do not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_leaves_half_of_its_objects() {
        let handed = live_handed(1);
        assert_eq!(handed.len(), HANDED_OBJECTS / 2);
        assert!(handed.iter().all(|object| (16..1024).contains(&object.len()) && object.iter().all(|byte| *byte == 3)));
    }

    #[test]
    fn results_come_back_oldest_first() {
        let mut ended = Vec::new();
        in_turn(6, 2, |seed, result: Option<u64>| {
            ended.extend(result);
            move || seed
        });
        assert_eq!(ended, [0, 1, 2, 3]);
    }
}
