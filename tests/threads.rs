//! Threads and their caches. A cache is given back whole at its thread's exit, whatever the thread did and whatever still runs
//! at its end. The caches of sleeping threads hide no memory.
//!
//! The books show that a cache is back: a span's pages go back to the heap only with the last slot of the span.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::{Arc, Barrier, mpsc};

use common::child;

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

/// Bytes in use when all slots in caches are back in their spans.
fn in_use_at_rest() -> u64 {
    neap::scavenge();
    neap::stats().in_use_bytes
}

#[test]
fn a_cache_is_given_back_whole_at_exit() {
    child!().holds(|| {
        std::thread::spawn(|| allocate_and_free(11, 200)).join().unwrap();
        let before = (in_use_at_rest(), neap::stats().threads);
        for _ in 0..20 {
            std::thread::spawn(|| allocate_and_free(11, 200)).join().unwrap();
        }
        // No slot is missing: its span would still be in use.
        assert_eq!((in_use_at_rest(), neap::stats().threads), before);
    });
}

fn allocate_and_free(classes: usize, objects: usize) {
    for class in 0..classes {
        let size = 16 << class;
        let blocks: Vec<Vec<u8>> = (0..objects).map(|_| vec![1; size]).collect();
        drop(blocks);
    }
}

#[test]
fn a_thread_that_only_freed_gives_its_cache_back() {
    child!().holds(|| {
        std::thread::spawn(|| {}).join().unwrap();
        let before = (in_use_at_rest(), neap::stats().threads);
        for _ in 0..20 {
            let blocks: Vec<Box<[u8; 96]>> = (0..5000).map(|_| Box::new([7; 96])).collect();
            std::thread::spawn(move || drop(blocks)).join().unwrap();
        }
        assert_eq!((in_use_at_rest(), neap::stats().threads), before);
    });
}

#[test]
fn destructors_of_thread_locals_may_allocate_and_free_later() {
    child!().holds(|| {
        std::thread::spawn(set_thread_locals).join().unwrap();
        let before = (in_use_at_rest(), neap::stats().threads);
        for _ in 0..50 {
            std::thread::spawn(set_thread_locals).join().unwrap();
        }
        assert_eq!((in_use_at_rest(), neap::stats().threads), before);
    });
}

/// Allocates when it is dropped, and frees what it holds. The first drop makes a second value of this type.
struct AtEnd {
    #[expect(clippy::vec_box, reason = "one allocation an element is the point")]
    held: Vec<Box<[u8; 160]>>,
    again: bool,
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        let more: Vec<Box<[u8; 224]>> = (0..300).map(|i| Box::new([i as u8; 224])).collect();
        assert!(more.iter().enumerate().all(|(i, block)| block.iter().all(|byte| *byte == i as u8)));
        assert!(self.held.iter().all(|block| block[0] == 9));
        neap::scavenge();
        if self.again {
            SECOND.with(|second| {
                *second.borrow_mut() =
                    Some(AtEnd { held: (0..100).map(|_| Box::new([9; 160])).collect(), again: false })
            });
        }
    }
}

thread_local! {
    static FIRST: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

fn set_thread_locals() {
    FIRST.with(|first| {
        *first.borrow_mut() = Some(AtEnd { held: (0..100).map(|_| Box::new([9; 160])).collect(), again: true })
    });
}

#[test]
fn destructors_of_keys_may_allocate_and_free_after_the_cache_is_gone() {
    child!().holds(|| {
        let mut key = 0;
        // SAFETY: the key is written by the call.
        assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(at_exit)) }, 0);
        KEY.set(key).unwrap();
        let thread = || {
            let value = Box::new(vec![0u64]);
            // SAFETY: the key exists.
            unsafe { libc::pthread_setspecific(*KEY.get().unwrap(), Box::into_raw(value).cast()) };
        };
        std::thread::spawn(thread).join().unwrap();
        let before = (in_use_at_rest(), neap::stats().threads);
        for _ in 0..50 {
            std::thread::spawn(thread).join().unwrap();
        }
        assert_eq!((in_use_at_rest(), neap::stats().threads), before);
    });
}

static KEY: std::sync::OnceLock<libc::pthread_key_t> = std::sync::OnceLock::new();

/// Runs in three rounds. The allocator's own destructor has run before the second round at the latest.
unsafe extern "C" fn at_exit(value: *mut c_void) {
    // SAFETY: the value is the vector that was set.
    let mut rounds = unsafe { Box::from_raw(value.cast::<Vec<u64>>()) };
    let noise: Vec<Box<[u8; 40]>> = (0..500).map(|_| Box::new([3; 40])).collect();
    assert!(noise.iter().all(|block| block.iter().all(|byte| *byte == 3)));
    let large = vec![0u8; 100_000];
    assert!(large.iter().all(|byte| *byte == 0));
    // The thread has no cache any more.
    neap::scavenge();
    rounds.push(rounds.len() as u64);
    if rounds.len() < 4 {
        // SAFETY: the key exists.
        unsafe { libc::pthread_setspecific(*KEY.get().unwrap(), Box::into_raw(rounds).cast()) };
    }
}

#[test]
fn ten_thousand_short_threads_do_not_grow_the_heap() {
    child!().holds(|| {
        let batch = |threads: usize| {
            for _ in 0..threads / 20 {
                let batch: Vec<_> =
                    (0..20).map(|_| std::thread::spawn(|| drop(vec![Box::new([1u8; 48]); 3]))).collect();
                batch.into_iter().for_each(|thread| thread.join().unwrap());
            }
        };
        batch(500);
        let (in_use, before) = (in_use_at_rest(), neap::stats());
        batch(10_000);
        let (in_use_after, after) = (in_use_at_rest(), neap::stats());
        assert_eq!((in_use_after, after.threads), (in_use, before.threads));
        assert!(
            after.metadata_bytes <= before.metadata_bytes + (64 << 10),
            "caches or magazines leak: {before} {after}"
        );
        assert_eq!(after.mapped_bytes, before.mapped_bytes, "the heap has grown");
    });
}

#[test]
fn idle_threads_hide_no_memory() {
    child!().holds(|| {
        let filled = Arc::new(Barrier::new(IDLE_THREADS + 1));
        let (end, wait) = mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let threads: Vec<_> = (0..IDLE_THREADS)
            .map(|_| {
                let (filled, wait) = (filled.clone(), wait.clone());
                std::thread::spawn(move || {
                    fill_magazines();
                    filled.wait();
                    let _ = wait.lock().unwrap().recv();
                })
            })
            .collect();
        filled.wait();
        let hidden = neap::stats();
        neap::scavenge();
        let after = neap::stats();
        // Each thread held up to two times 16 KiB of each class. One object of each class may stay.
        let held = IDLE_THREADS as u64 * 12 * (16 << 10);
        let may_stay = IDLE_THREADS as u64 * 65_536;
        let backed = |stats: &neap::Stats| stats.in_use_bytes - stats.hole_released_bytes;
        assert!(backed(&hidden) > held, "{hidden}");
        // Only pages with an object are still backed.
        assert!(backed(&after) < may_stay + IDLE_THREADS as u64 * 12 * 8192 + (4 << 20), "{after}");
        assert!(backed(&after) < backed(&hidden) / 2, "{hidden}\n{after}");
        drop(end);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // The threads could use their caches again, so everything is back at the end.
        neap::scavenge();
        assert!(neap::stats().adds_up() && neap::stats().in_use_bytes < 4 << 20, "{}", neap::stats());
    });
}

const IDLE_THREADS: usize = 32;

/// Leaves two magazines of every class full.
fn fill_magazines() {
    for size in [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768] {
        let objects = 4 * (16384 / size).clamp(2, 62);
        drop((0..objects).map(|_| vec![1u8; size]).collect::<Vec<_>>());
    }
}

#[test]
fn the_first_stillness_drains_idle_threads() {
    child!().holds(|| {
        let filled = Arc::new(Barrier::new(IDLE_THREADS + 1));
        for _ in 0..IDLE_THREADS {
            let filled = filled.clone();
            std::thread::spawn(move || {
                fill_magazines();
                filled.wait();
                loop {
                    std::thread::park();
                }
            });
        }
        filled.wait();
        let backed = || {
            let stats = neap::stats();
            stats.in_use_bytes - stats.hole_released_bytes
        };
        let hidden = backed();
        // One burst wakes the scavenger; then nothing happens any more.
        drop((0..40_000).map(|_| Box::new([1u8; 4000])).collect::<Vec<_>>());
        common::wait_until("the idle threads' magazines to be given back", || backed() < hidden / 2);
    });
}

/// A span has four slots of 32 KiB. A slot that stays shows in the books, because its span stays in use.
#[test]
fn at_most_one_slot_of_a_class_stays_in_an_idle_threads_cache() {
    child!().holds(|| {
        let layout = Layout::from_size_align(32 << 10, 8).unwrap();
        let before = in_use_at_rest();
        let (to_thread, order) = mpsc::channel::<()>();
        let (to_us, done) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            // SAFETY: the layout is not empty; each object is freed once.
            unsafe {
                let objects: Vec<_> = (0..40).map(|_| GLOBAL.alloc(layout)).collect();
                objects.iter().for_each(|object| GLOBAL.dealloc(*object, layout));
            }
            to_us.send(()).unwrap();
            order.recv().unwrap();
            // The cache still works after the drain.
            // SAFETY: as above.
            unsafe {
                let objects: Vec<_> = (0..40).map(|_| GLOBAL.alloc(layout)).collect();
                let distinct: std::collections::HashSet<_> = objects.iter().copied().collect();
                assert_eq!(distinct.len(), objects.len());
                objects.iter().for_each(|object| GLOBAL.dealloc(*object, layout));
            }
            to_us.send(()).unwrap();
            order.recv().unwrap();
        });
        done.recv().unwrap();
        let span = 4 * layout.size() as u64;
        let slack = 512 << 10;
        let idle = in_use_at_rest();
        assert!(idle <= before + span + slack, "{before} {idle}");
        to_thread.send(()).unwrap();
        done.recv().unwrap();
        to_thread.send(()).unwrap();
        thread.join().unwrap();
        assert!(in_use_at_rest() <= before + slack);
    });
}

/// These threads use only the fast paths of their caches, while other threads drain them without a pause.
#[test]
fn draining_busy_threads_does_no_harm() {
    child!().holds(|| {
        const OBJECTS: usize = 40;
        let rounds = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
        let before = in_use_at_rest();
        let work = move |seed: u64| {
            let mut random = common::Random(seed);
            let mut objects: [Option<Box<[u64; 6]>>; OBJECTS] = [const { None }; OBJECTS];
            for _ in 0..rounds {
                let place = random.below(OBJECTS);
                match objects[place].take() {
                    Some(object) => assert_eq!(*object, [seed << 32 | place as u64; 6]),
                    None => objects[place] = Some(Box::new([seed << 32 | place as u64; 6])),
                }
            }
        };
        common::beside_scavenging_threads(|| {
            let workers = [1, 2, 3, 4].map(|seed| std::thread::spawn(move || work(seed)));
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
        assert!(in_use_at_rest() <= before + (256 << 10), "slots were lost");
        assert!(neap::stats().adds_up());
    });
}

/// A thread lives about as long as a drain takes, so many exits and first allocations meet a drain.
#[test]
fn threads_may_exit_while_they_are_drained() {
    child!().holds(|| {
        let threads = if cfg!(debug_assertions) { 3000 } else { 10_000 };
        std::thread::spawn(|| {}).join().unwrap();
        let before = (in_use_at_rest(), neap::stats().threads);
        let work = |mark: u16| {
            let blocks: Vec<Box<[u16; 100]>> = (0..100).map(|_| Box::new([mark; 100])).collect();
            assert!(blocks.iter().all(|block| **block == [mark; 100]));
        };
        common::beside_scavenging_threads(|| {
            for batch in 0..threads / 10 {
                let batch: Vec<_> = (0..10).map(|i| std::thread::spawn(move || work(batch as u16 ^ i))).collect();
                batch.into_iter().for_each(|thread| thread.join().unwrap());
            }
        });
        assert_eq!((in_use_at_rest(), neap::stats().threads), before);
        assert!(neap::stats().adds_up());
    });
}
