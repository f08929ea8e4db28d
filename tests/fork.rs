//! fork in a process with many threads. Parent and child go on allocating. The child finds sound books and no memory of other
//! threads, and starts a scavenger of its own when it needs one.
//!
//! The children of these forks run ordinary code, which this allocator makes possible. They leave with `_exit` and report by
//! their exit code, because the threads of the test harness do not exist in a child.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::child;

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

/// Enough forks to meet the other threads at many different places.
const FORKS: u64 = 200;
const SIGNALS: usize = 300;

/// Forks; the child does `work` and leaves with its result. Gives the child's exit code, or minus the signal that ended
/// it; [`HUNG`] if it did not end.
fn in_fork(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child's only thread runs on code that needs no other thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(PANICKED);
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(code) };
    }
    assert!(child > 0, "{}", std::io::Error::last_os_error());
    let mut status = 0;
    for _ in 0..30_000 {
        // SAFETY: the status is written by the call.
        if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
            return if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) };
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // SAFETY: our own child.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, &mut status, 0);
    }
    HUNG
}

const PANICKED: i32 = 101;
const HUNG: i32 = 1000;
const BOOKS: i32 = 2;

/// Allocates, checks and frees. The result depends on what was read.
fn work(seed: u64, rounds: usize) -> u64 {
    let mut random = common::Random(seed);
    let mut blocks: Vec<Option<(Vec<u8>, u8)>> = (0..300).map(|_| None).collect();
    let mut sum = 0;
    for _ in 0..rounds {
        let place = random.below(blocks.len());
        if let Some((block, byte)) = blocks[place].take() {
            assert!(block.iter().all(|b| *b == byte), "a block changed");
            sum += block.len() as u64;
        }
        let size = match random.below(50) {
            0 => random.below(200_000),
            1..10 => random.below(20_000),
            _ => random.below(600),
        };
        let byte = random.next() as u8;
        blocks[place] = Some((vec![byte; size], byte));
    }
    sum
}

/// Runs `during` while threads allocate, hand over and come and go.
fn beside_busy_threads(threads: u64, during: impl FnOnce()) {
    let stop = Arc::new(AtomicBool::new(false));
    let handles: Vec<_> = (0..threads)
        .map(|seed| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut seed = seed + 1;
                while !stop.load(Ordering::Relaxed) {
                    seed += 1000;
                    work(seed, 300);
                    if seed % 4 == 0 {
                        std::thread::spawn(move || work(seed, 100)).join().unwrap();
                    }
                }
            })
        })
        .collect();
    during();
    stop.store(true, Ordering::Relaxed);
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

/// What each child does.
fn check_child(seed: u64) -> i32 {
    if !neap::stats().adds_up() {
        return BOOKS;
    }
    work(seed, 100);
    // Another thread, with a cache of its own.
    std::thread::spawn(move || work(seed, 50)).join().unwrap();
    neap::scavenge();
    work(seed + 1, 50);
    if neap::stats().adds_up() { 0 } else { BOOKS }
}

#[test]
fn children_of_a_busy_process_go_on_allocating() {
    child!().holds(|| {
        beside_busy_threads(2, || {
            for fork in 0..FORKS {
                assert_eq!(in_fork(|| check_child(fork + 1)), 0, "fork {fork}");
                work(fork + 1, 50);
            }
        });
        assert!(neap::stats().adds_up());
    });
}

/// Other threads drain the forking thread's cache all the time, so many forks happen while the cache is marked.
#[test]
fn a_fork_in_the_middle_of_a_drain_leaves_no_mark() {
    child!().holds(|| {
        common::beside_scavenging_threads(|| {
            for fork in 0..FORKS {
                work(fork + 1, 20);
                assert_eq!(in_fork(|| check_child(fork + 1)), 0, "fork {fork}");
            }
        });
    });
}

#[test]
fn a_child_may_fork_again() {
    child!().holds(|| assert_eq!(in_fork(|| in_fork(|| check_child(3)).max(check_child(4))), 0));
}

#[test]
fn the_scavenger_comes_back_in_the_child() {
    child!().holds(|| {
        burst(32 << 20);
        common::wait_until("the scavenger's thread", || common::scavenger_thread().is_some());
        let code = in_fork(|| {
            // Where C's memory is ours, looking for the thread frees a large block, which may start a new scavenger.
            if !cfg!(feature = "c-symbols") && common::scavenger_thread().is_some() {
                return 3;
            }
            burst(64 << 20);
            // The new thread works: the burst's memory goes back.
            common::wait_until("a scavenger in the child", || common::scavenger_thread().is_some());
            common::wait_until("the burst's release", || {
                let stats = neap::stats();
                stats.retained_bytes + stats.hole_bytes + stats.cached_bytes < 8 << 20
            });
            if neap::stats().adds_up() { 0 } else { BOOKS }
        });
        assert_eq!(code, 0);
        common::wait_until("the parent's release", || neap::stats().retained_bytes < 8 << 20);
    });
}

fn burst(bytes: usize) {
    let blocks: Vec<Box<[u8; 1000]>> = (0..bytes / 1000).map(|_| Box::new([1; 1000])).collect();
    drop(blocks);
}

#[test]
fn without_a_thread_the_child_scavenges_inline_like_the_parent() {
    child!().env("NEAP_SCAVENGER", "off").holds(|| {
        beside_busy_threads(2, || {
            for fork in 0..20 {
                burst(8 << 20);
                let code = in_fork(|| {
                    burst(16 << 20);
                    let threads = common::threads().len();
                    if threads == 1 { check_child(fork + 1) } else { 3 }
                });
                assert_eq!(code, 0);
            }
        });
    });
}

/// Sleeping threads hold full magazines at the fork. In the child their slots are back in the spans.
#[test]
fn caches_of_threads_that_do_not_exist_are_adopted() {
    child!().holds(|| {
        const THREADS: usize = 16;
        let ready = Arc::new(std::sync::Barrier::new(THREADS + 1));
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let base = {
            neap::scavenge();
            neap::stats().in_use_bytes
        };
        let handles: Vec<_> = (0..THREADS)
            .map(|_| {
                let (ready, wait) = (ready.clone(), wait.clone());
                std::thread::spawn(move || {
                    drop((0..8).map(|_| vec![1u8; 16384]).collect::<Vec<_>>());
                    ready.wait();
                    let _ = wait.lock().unwrap().recv();
                })
            })
            .collect();
        ready.wait();
        assert!(neap::stats().in_use_bytes > base + (THREADS as u64) * (32 << 10));
        let code = in_fork(|| {
            if neap::stats().threads != 1 {
                return 3;
            }
            neap::scavenge();
            let stats = neap::stats();
            if stats.in_use_bytes > base + (256 << 10) {
                eprintln!("{stats}");
                return 4;
            }
            if stats.adds_up() { 0 } else { BOOKS }
        });
        assert_eq!(code, 0);
        drop(end);
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

/// A thread allocates, another thread sends it signals, and a third thread allocates too. Debug builds check ranks all the while.
#[test]
fn a_signal_handler_forks_whatever_it_interrupted() {
    child!().holds(|| {
        // SAFETY: the handler is a function of this program; the thread is joined below.
        let interrupted = unsafe {
            libc::signal(libc::SIGUSR1, fork_in_a_handler as extern "C" fn(libc::c_int) as libc::sighandler_t);
            libc::pthread_self()
        };
        let stop = Arc::new(AtomicBool::new(false));
        beside_busy_threads(1, || {
            let sender = {
                let stop = stop.clone();
                std::thread::spawn(move || {
                    for sent in 0..SIGNALS {
                        // SAFETY: that thread waits for this one.
                        unsafe { libc::pthread_kill(interrupted, libc::SIGUSR1) };
                        while HANDLED.load(Ordering::Acquire) <= sent {
                            std::hint::spin_loop();
                        }
                    }
                    stop.store(true, Ordering::Relaxed);
                })
            };
            let mut seed = 1;
            while !stop.load(Ordering::Relaxed) {
                seed += 1;
                work(seed, 50);
                if IN_CHILD.load(Ordering::Relaxed) {
                    // SAFETY: _exit has no preconditions.
                    unsafe { libc::_exit(check_child(seed)) };
                }
            }
            sender.join().unwrap();
        });
        assert!(!FAILED.load(Ordering::Relaxed), "a child failed");
        assert!(neap::stats().adds_up());
    });
}

/// Set in the child of a handler's fork, where the interrupted thread goes on.
static IN_CHILD: AtomicBool = AtomicBool::new(false);
static HANDLED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicBool = AtomicBool::new(false);

/// Nothing here allocates.
extern "C" fn fork_in_a_handler(_signal: libc::c_int) {
    // SAFETY: fork may be called here, which is what this test is about; the status is written by the call.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            IN_CHILD.store(true, Ordering::Relaxed);
            return;
        }
        let mut status = 0;
        while libc::waitpid(child, &mut status, 0) < 0 {}
        if status != 0 {
            FAILED.store(true, Ordering::Relaxed);
        }
    }
    HANDLED.fetch_add(1, Ordering::Release);
}
