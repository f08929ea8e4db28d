//! The simulated kernel itself. The models of the heap rely on it to notice mistakes.

use core::ptr::NonNull;
use loom::sync::Arc;
use loom::thread;
use neap::internals::lock::{Lock, Rank};
use neap::internals::sys::{sim, time, vm};
use neap::internals::units::{CHUNK_BYTES, PAGE_BYTES, Page, Run};

/// A chunk of backed addresses.
fn chunk() -> NonNull<u8> {
    let base = vm::reserve(CHUNK_BYTES, CHUNK_BYTES).unwrap();
    // SAFETY: the reservation was just made.
    assert!(unsafe { vm::back_in_growth(base, CHUNK_BYTES) });
    base
}

fn first_page(base: NonNull<u8>) -> Run {
    Run { first: Page::containing(base.as_ptr().addr()), pages: 1 }
}

/// Releases a run.
fn release(run: Run) {
    let base = NonNull::new(core::ptr::without_provenance_mut(run.first.address())).unwrap();
    // SAFETY: the simulation checks the call itself.
    unsafe { vm::release(base, run.bytes()) }.unwrap();
}

#[test]
fn each_execution_starts_afresh() {
    loom::model(|| {
        assert_eq!((time::monotonic_ns(), sim::all_resident_pages()), (1, 0));
        sim::set_clock_ns(7);
        let run = first_page(chunk());
        assert_eq!(run.first.address(), 64 << 20);
        sim::mark_owned(run);
        let metadata = vm::map_metadata(3 * PAGE_BYTES).unwrap();
        // SAFETY: metadata is real memory of that size.
        unsafe {
            assert_eq!(metadata.add(3 * PAGE_BYTES - 1).read(), 0);
            metadata.write_bytes(1, 3 * PAGE_BYTES);
        }
        let other = thread::spawn(|| assert_eq!(time::monotonic_ns(), 7));
        other.join().unwrap();
    });
}

#[test]
fn addresses_run_out() {
    loom::model(|| {
        assert!(vm::reserve(1 << 30, CHUNK_BYTES).is_none());
        let base = vm::reserve(512 << 20, CHUNK_BYTES).unwrap();
        assert_eq!(base.as_ptr().addr() % CHUNK_BYTES, 0);
        assert!(vm::reserve(512 << 20, CHUNK_BYTES).is_none());
    });
}

/// One thread takes the page and gives it back; the other thread releases it while it is free. `honest` threads agree under a
/// lock on who has the page. Other threads look and act in two steps.
fn take_and_release(honest: bool) {
    let run = first_page(chunk());
    let free = Arc::new(Lock::new(Rank::Heap, true));
    let take = move |free: &Lock<bool>| {
        let mut guard = free.lock();
        let mine = *guard;
        if honest {
            *guard = false;
        }
        drop(guard);
        mine
    };
    let user = {
        let free = Arc::clone(&free);
        thread::spawn(move || {
            if take(&free) {
                sim::mark_owned(run);
                sim::clear_owned(run);
                *free.lock() = true;
            }
        })
    };
    if take(&free) {
        release(run);
        *free.lock() = true;
    }
    user.join().unwrap();
    assert!(sim::resident_pages(run) <= 1);
}

#[test]
fn agreed_releases_pass() {
    loom::model(|| take_and_release(true));
}

#[test]
#[should_panic(expected = "sim: page 0x2000 was")]
fn a_race_between_user_and_release_is_found() {
    loom::model(|| take_and_release(false));
}

#[test]
#[should_panic(expected = "was released while it was owned")]
fn releasing_an_owned_page_is_refused() {
    loom::model(|| {
        let run = first_page(chunk());
        sim::mark_owned(run);
        release(run);
    });
}

#[test]
#[should_panic(expected = "was handed out twice")]
fn two_owners_are_refused() {
    loom::model(|| {
        let run = first_page(chunk());
        sim::mark_owned(run);
        sim::mark_owned(run);
    });
}

#[test]
#[should_panic(expected = "without being backed")]
fn unbacked_pages_are_refused() {
    loom::model(|| {
        let base = vm::reserve(CHUNK_BYTES, CHUNK_BYTES).unwrap();
        sim::mark_owned(first_page(base));
    });
}

#[test]
#[should_panic(expected = "neap: lock: system call madvise(DONTNEED) under lock heap")]
fn releasing_under_a_lock_is_refused() {
    loom::model(|| {
        let run = first_page(chunk());
        let heap = Lock::new(Rank::Heap, ());
        let _heap = heap.lock();
        release(run);
    });
}
