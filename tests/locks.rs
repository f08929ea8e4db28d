//! No lock is held during a release, nor any other system call that may wait: builds with debug assertions end the process
//! where that is not so. Here it is shown that they would, for every lock and every call; so each of the other tests, run
//! in such a build, shows that it does not happen.
#![cfg(debug_assertions)]

mod common;

use std::ptr::NonNull;

use neap::lock::{Lock, Rank};
use neap::sys::{self, vm};

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

const BYTES: usize = 1 << 20;

/// The system calls that a heap makes, as the message names them.
const CALLS: [&str; 7] = [
    "madvise(DONTNEED)",
    "process_madvise(DONTNEED)",
    "madvise(COLD)",
    "madvise(HUGEPAGE)",
    "munmap",
    "membarrier",
    "clock_gettime",
];

/// Makes a call, `at` memory that nobody needs.
fn make(call: &str, at: NonNull<u8>) {
    // SAFETY: mapped by `child` for this, and not used by anybody else.
    unsafe {
        match call {
            "madvise(DONTNEED)" => assert!(vm::release(at, BYTES).is_ok()),
            "process_madvise(DONTNEED)" => assert!(vm::release_many(&[(at, BYTES / 2)]).is_ok()),
            // Kernels differ in what they know: only the check before the call matters.
            "madvise(COLD)" => drop(vm::cold(at, BYTES)),
            "madvise(HUGEPAGE)" => drop(vm::huge_pages(true, at, BYTES)),
            "munmap" => assert!(vm::unmap(at, BYTES)),
            "membarrier" => {
                sys::membarrier::register();
            }
            "clock_gettime" => {
                sys::thread::thread_cpu_time_ns();
            }
            _ => panic!("no such call: {call}"),
        }
    }
}

fn rank(name: &str) -> Rank {
    Rank::ALL.into_iter().find(|rank| rank.name() == name).unwrap()
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    // SAFETY: no core files, please.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
    let at = vm::map_metadata(BYTES).unwrap();
    let words: Vec<&str> = case.split(" / ").collect();
    match words[..] {
        ["call", call, "none"] => make(call, at),
        ["call", call, held] => {
            let lock = Lock::new(rank(held), ());
            let _guard = lock.lock();
            make(call, at);
        }
        ["order", first, second] => {
            let (first, second) = (Lock::new(rank(first), ()), Lock::new(rank(second), ()));
            let _first = first.lock();
            let _second = second.lock();
        }
        _ => panic!("no such case: {case}"),
    }
}

#[track_caller]
fn dies(case: &str, line: &str) {
    let ended = common::run(case);
    assert_eq!(ended.signal, Some(libc::SIGABRT), "{case}: {}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.starts_with(line) && ended.stderr.lines().count() == 1, "{case}: {}", ended.stderr);
}

#[test]
fn a_system_call_under_any_lock_ends_the_process() {
    for call in CALLS {
        common::run(&format!("call / {call} / none")).assert_ok();
    }
    for held in Rank::ALL.map(Rank::name) {
        for call in CALLS {
            dies(&format!("call / {call} / {held}"), &format!("neap: lock: system call {call} under lock {held}"));
        }
    }
}

#[test]
fn locks_in_the_wrong_order_end_the_process() {
    for (place, inner) in Rank::ALL.iter().enumerate() {
        for outer in &Rank::ALL[..=place] {
            let (inner, outer) = (inner.name(), outer.name());
            dies(&format!("order / {inner} / {outer}"), &format!("neap: lock: took {outer} while holding {inner} ("));
            if inner != outer {
                common::run(&format!("order / {outer} / {inner}")).assert_ok();
            }
        }
    }
}

/// What the heap does in this build goes through those checks: it releases, from the background and by call.
#[test]
fn the_heap_itself_releases_under_these_checks() {
    for _ in 0..20 {
        let blocks: Vec<Vec<u8>> = (1..600).map(|i| vec![1; i * 101]).collect();
        let kept: Vec<_> = blocks.into_iter().step_by(7).collect();
        assert_ne!(neap::scavenge(), 0);
        drop(kept);
    }
    assert!(neap::stats().released_bytes_total > 64 << 20, "{}", neap::stats());
}
