//! The kernel refuses: the n-th mapping, growth, release, thread or move fails. The heap goes on with what it has, loses
//! nothing, and its books add up. When the kernel is willing again, everything is as before.
//!
//! Needs the feature `internals`, which can inject faults. An injected fault concerns the calling thread only.
#![cfg(feature = "internals")]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use common::{Child, MIB, child};
use neap::internals::caches::{Magazine, ThreadCache};
use neap::internals::heap::Heap;
use neap::internals::sys::fault::{self, Op};

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

/// Does a case in a child. Then nothing fails any more, and the books must add up.
#[track_caller]
fn survives(child: Child, case: impl FnOnce()) {
    child.holds(|| {
        case();
        fault::reset();
        common::wait_for_the_books();
    });
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 16).unwrap()
}

/// A block whose first and last byte are written, if there is memory.
fn block(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: the size is not zero; the block has that many bytes.
    unsafe {
        let base = NonNull::new(GLOBAL.alloc(layout(bytes)))?;
        base.write(1);
        base.add(bytes - 1).write(2);
        Some(base)
    }
}

fn free(base: NonNull<u8>, bytes: usize) {
    // SAFETY: callers free once, with the size they asked for.
    unsafe {
        assert_eq!((base.read(), base.add(bytes - 1).read()), (1, 2));
        GLOBAL.dealloc(base.as_ptr(), layout(bytes));
    }
}

#[test]
fn growth_that_fails_is_null_and_nothing_is_lost() {
    for n in 0..8 {
        for op in [Op::Map, Op::Back] {
            survives(child!().case(format_args!("{op:?} {n}")), || growth_fails(op, n));
        }
    }
}

fn growth_fails(op: Op, n: u64) {
    // These sizes need new chunks, steps of backing, and regions of the span map (1 GiB).
    const SIZES: [usize; 6] = [24 * MIB, 100_000, 300 * MIB, 5000, 3 * MIB, 700 * MIB];
    let round = |expect_all: bool| {
        let mut blocks = Vec::with_capacity(10_000);
        let mut failed = 0;
        for i in 0..60 {
            let bytes = SIZES[i % SIZES.len()];
            match block(bytes) {
                Some(base) => blocks.push((base, bytes)),
                None => failed += 1,
            }
            // A small block of another class each time.
            let small = 16 << (i % 11);
            match block(small) {
                Some(base) => blocks.push((base, small)),
                None => failed += 1,
            }
        }
        assert!(!expect_all || failed == 0, "{failed} failed");
        blocks.into_iter().for_each(|(base, bytes)| free(base, bytes));
        failed
    };
    let baseline = {
        neap::scavenge();
        neap::stats()
    };
    fault::fail_from(op, n);
    let failed = round(false);
    if n == 0 {
        assert!(failed > 0, "nothing failed");
    }
    fault::reset();
    fault::fail_nth(op, n);
    round(false);
    fault::reset();
    round(true);
    neap::scavenge();
    let stats = neap::stats();
    assert!(stats.adds_up(), "{stats}");
    assert!(stats.in_use_bytes <= baseline.in_use_bytes + MIB as u64, "{baseline}\n{stats}");
    // Each page heap maps once what a round needs. Failures do not eat address space.
    let settles = (0..20).any(|_| {
        let mapped = neap::stats().mapped_bytes;
        for _ in 0..10 {
            fault::fail_nth(op, 0);
            round(false);
            fault::reset();
        }
        neap::stats().mapped_bytes == mapped
    });
    assert!(settles, "{stats}\n{}", neap::stats());
}

#[test]
fn a_heap_whose_tables_fail_can_be_initialised_later() {
    for n in 0..3 {
        let sentinel = Box::leak(Box::new(Magazine::null()));
        let sentinel_cache = NonNull::from(Box::leak(Box::new(ThreadCache::new(sentinel.last()))));
        let heap = Box::leak(Box::new(Heap::new()));
        fault::fail_nth(Op::Map, n);
        // SAFETY: one thread, until it succeeds; the cache and its sentinel stay.
        let first = unsafe { heap.initialize(sentinel_cache, sentinel.last()) };
        fault::reset();
        assert_eq!(first, n >= 2, "the heap has two tables");
        if !first {
            // SAFETY: as above.
            assert!(unsafe { heap.initialize(sentinel_cache, sentinel.last()) });
        }
        let large = heap.allocate_large(0, MIB, 1).unwrap();
        // SAFETY: the block has that many bytes.
        unsafe { large.base.write_bytes(1, MIB) };
        heap.deallocate_large(large.base);
        assert_eq!(heap.scavenge_all(std::ptr::null()), MIB);
        assert!(heap.stats().adds_up());
    }
}

#[test]
fn memory_that_the_kernel_does_not_take_stays_and_is_tried_again() {
    for n in [0, 1, 5] {
        survives(child!().case(n), || releases_fail(n));
    }
}

fn releases_fail(n: u64) {
    neap::scavenge();
    let blocks: Vec<_> = (0..40).map(|_| (block(MIB).unwrap(), block(3 * 8192).unwrap())).collect();
    for (large, _) in &blocks {
        // SAFETY: a live block.
        unsafe { large.add(1).write_bytes(7, MIB - 2) };
    }
    blocks.iter().for_each(|(large, _)| free(*large, MIB));
    let freed = 40 * MIB;
    fault::fail_from(Op::Release, n);
    let released = neap::scavenge();
    fault::reset();
    let stats = neap::stats();
    assert!(released < freed, "{released}");
    assert!(stats.adds_up() && stats.retained_bytes as usize + released >= freed, "{stats}");
    // Memory whose release was refused can be taken again. The heap does not take it for zeroed memory.
    let again: Vec<_> = (0..40)
        .map(|_| {
            // SAFETY: the size is not zero; the block has that many bytes.
            unsafe {
                let base = NonNull::new(GLOBAL.alloc_zeroed(layout(MIB))).unwrap();
                let bytes = base.cast::<[u8; MIB]>().as_ref();
                assert!(bytes[0] == 0 && bytes[1..] == bytes[..MIB - 1], "not zero");
                base.write(1);
                base.add(MIB - 1).write(2);
                base
            }
        })
        .collect();
    again.into_iter().for_each(|base| free(base, MIB));
    assert!(neap::scavenge() >= freed - MIB, "{}", neap::stats());
    // A refused run is released by the next call that asks for everything.
    let large = block(8 * MIB).unwrap();
    free(large, 8 * MIB);
    fault::fail_from(Op::Release, 0);
    neap::scavenge();
    fault::reset();
    assert!(neap::scavenge() >= 8 * MIB, "{}", neap::stats());
    blocks.into_iter().for_each(|(_, small)| free(small, 3 * 8192));
}

#[test]
fn holes_that_the_kernel_does_not_take_lose_no_slot() {
    survives(child!(), || {
        const COUNT: usize = 8192;
        let slots: Vec<_> = (0..COUNT).map(|_| block(1000).unwrap()).collect();
        let free_most = |slots: &[NonNull<u8>]| {
            slots.iter().enumerate().filter(|(i, _)| i % 32 != 0).for_each(|(_, s)| free(*s, 1000))
        };
        free_most(&slots);
        fault::fail_from(Op::Release, 3);
        neap::scavenge();
        fault::reset();
        let stats = neap::stats();
        assert!(stats.adds_up(), "{stats}");
        // No slot is lost.
        let again: Vec<_> = (0..COUNT - COUNT / 32).map(|_| block(1000).unwrap()).collect();
        let mut all: Vec<usize> = again.iter().chain(slots.iter().step_by(32)).map(|slot| slot.addr().get()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), COUNT);
        again.into_iter().for_each(|slot| free(slot, 1000));
        assert_ne!(neap::scavenge(), 0);
        slots.iter().step_by(32).for_each(|slot| free(*slot, 1000));
        neap::scavenge();
        assert_eq!(neap::stats().hole_released_bytes / MIB as u64, 0, "{}", neap::stats());
    });
}

#[test]
fn huge_pages_are_split_after_they_were_released_in_part() {
    // Without the scavenger's thread, the calling thread does all splits.
    let child = child!().env("NEAP_SCAVENGER", "off");
    survives(child, || {
        if neap::internals::sys::thp::mode() == neap::internals::sys::thp::Mode::Never {
            return;
        }
        let bytes = MIB / 2;
        let blocks: Vec<_> = (0..64).map(|_| block(bytes).unwrap()).collect();
        let split = || fault::log(Op::Cold);
        assert_eq!(split().calls, 0, "nothing was released yet");
        blocks.iter().step_by(2).for_each(|base| free(*base, bytes));
        // A run whose release was refused does not count as cut: its page may still be huge.
        fault::fail_from(Op::Release, 0);
        neap::scavenge();
        fault::reset();
        let before = split();
        assert!(neap::scavenge() >= 15 * MIB, "{}", neap::stats());
        let after = split();
        assert!(after.calls - before.calls >= 15, "of 16 huge pages: {before:?} {after:?}");
        assert_eq!(after.bytes - before.bytes, (after.calls - before.calls) * 2 * MIB as u64, "as a whole");
        neap::scavenge();
        assert_eq!(split(), after, "each once");
        blocks.iter().skip(1).step_by(2).for_each(|base| free(*base, bytes));
    });
}

#[test]
fn where_no_thread_can_be_started_the_work_is_done_inline_and_a_thread_tried_again() {
    survives(child!(), || {
        let burst = || {
            let blocks: Vec<Box<[u8; 4000]>> = (0..32 * MIB / 4096).map(|_| Box::new([1; 4000])).collect();
            drop(blocks);
        };
        fault::fail_from(Op::Spawn, 0);
        burst();
        assert_eq!(common::scavenger_thread(), None);
        common::wait_until("the work done inline", || {
            // Objects of this size pass through the slow path.
            let blocks: Vec<_> = (0..20).map(|_| Box::new([0u8; 20_000])).collect();
            drop(blocks);
            neap::stats().retained_bytes < 8 * MIB as u64
        });
        assert_eq!(common::scavenger_thread(), None);
        fault::reset();
        common::wait_until("the thread", || {
            burst();
            common::scavenger_thread().is_some()
        });
    });
}

#[test]
fn a_move_that_fails_copies() {
    survives(child!(), || {
        for fail in [false, true] {
            let mut bytes = 40 * MIB;
            let mut base = block(bytes).unwrap();
            for _ in 0..3 {
                // SAFETY: a live block; the neighbour that keeps it from growing in place is freed at once.
                unsafe {
                    base.write_bytes(0x5a, bytes);
                    // Pages are moved only to a place that is not backed.
                    neap::scavenge();
                    if fail {
                        fault::fail_from(Op::Move, 0);
                    }
                    let neighbour = GLOBAL.alloc(layout(MIB));
                    let moved = GLOBAL.realloc(base.as_ptr(), layout(bytes), bytes + 24 * MIB);
                    fault::reset();
                    base = NonNull::new(moved).unwrap();
                    let kept = std::slice::from_raw_parts(moved, bytes);
                    assert!(kept[0] == 0x5a && kept[1..] == kept[..bytes - 1]);
                    bytes += 24 * MIB;
                    GLOBAL.dealloc(neighbour, layout(MIB));
                }
            }
            // SAFETY: a live block.
            unsafe { GLOBAL.dealloc(base.as_ptr(), layout(bytes)) };
            // The old place of moved pages reads as zero, and the heap knows so.
            // SAFETY: the size is not zero, the block has that many bytes and is freed once.
            unsafe {
                let zeroed = GLOBAL.alloc_zeroed(layout(100 * MIB));
                let read = std::slice::from_raw_parts(zeroed, 100 * MIB);
                assert!(read[0] == 0 && read[1..] == read[..100 * MIB - 1]);
                GLOBAL.dealloc(zeroed, layout(100 * MIB));
            }
        }
    });
}

#[test]
fn pages_of_long_blocks_are_moved_to_places_that_are_not_backed() {
    survives(child!(), || {
        for (bytes, backed) in [(8 * MIB, false), (32 * MIB, false), (32 * MIB, true)] {
            let mut base = block(bytes).unwrap();
            // SAFETY: live blocks, each freed once; the neighbours keep the blocks below them from growing in place.
            unsafe {
                let first_neighbour = GLOBAL.alloc(layout(MIB));
                let room = GLOBAL.alloc(layout(2 * bytes));
                let second_neighbour = GLOBAL.alloc(layout(MIB));
                base.write_bytes(0x5a, bytes);
                room.write_bytes(1, 2 * bytes);
                GLOBAL.dealloc(room, layout(2 * bytes));
                if !backed {
                    neap::scavenge();
                }
                let before = fault::log(Op::Move).calls;
                base = NonNull::new(GLOBAL.realloc(base.as_ptr(), layout(bytes), 2 * bytes)).unwrap();
                assert_eq!(base.as_ptr(), room, "the lowest place with room");
                assert_eq!(fault::log(Op::Move).calls - before, (bytes >= 16 * MIB && !backed) as u64);
                let kept = std::slice::from_raw_parts(base.as_ptr(), bytes);
                assert!(kept.iter().all(|byte| *byte == 0x5a));
                GLOBAL.dealloc(base.as_ptr(), layout(2 * bytes));
                GLOBAL.dealloc(first_neighbour, layout(MIB));
                GLOBAL.dealloc(second_neighbour, layout(MIB));
            }
        }
    });
}
