//! A build with debug assertions ends the process where a lock is taken out of order, and where a system call that may wait
//! is made under a lock. Each other test, run in such a build, therefore shows that neither happens.
//!
//! What is refused, for every lock and every call, is a table in the unit tests of `lock`. The children here show that a
//! refusal ends the process with its line, and that the heap's own work is not refused.
#![cfg(debug_assertions)]

mod common;

use common::child;
use neap::internals::lock::{Lock, Rank};
use neap::internals::sys::vm;

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

const BYTES: usize = 1 << 20;

#[test]
fn a_system_call_under_a_lock_ends_the_process() {
    let case = || {
        let at = vm::map_metadata(BYTES).unwrap();
        let lock = Lock::new(Rank::Heap, ());
        let _guard = lock.lock();
        // SAFETY: mapped for this test, and not used by anybody else.
        let _ = unsafe { vm::release(at, BYTES) };
    };
    child!().ends(case, |ended| {
        ended.assert_died_with("neap: lock: system call madvise(DONTNEED) under lock heap\n");
    });
}

#[test]
fn locks_in_the_wrong_order_end_the_process() {
    let case = || {
        let (outer, inner) = (Lock::new(Rank::Central, ()), Lock::new(Rank::Heap, ()));
        let _inner = inner.lock();
        let _outer = outer.lock();
    };
    child!().ends(case, |ended| ended.assert_died_with("neap: lock: took central while holding heap ("));
}

/// In this build the heap's own releases pass the checks, in the background and by call.
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
