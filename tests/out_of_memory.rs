//! Out of memory is null and nothing worse. Live objects stay intact, and freed memory serves again.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Child, MIB, child, layout};

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

/// A limit that lets the test program start and fill a few dozen megabytes.
const LIMIT: u64 = 160 << 20;

/// Does a case in a child that has little address space.
#[track_caller]
fn limited(child: Child, case: impl FnOnce()) {
    child.address_space(LIMIT).holds(case);
}

/// Blocks of a size until there is no more, each filled with its number.
struct Filled {
    blocks: Vec<*mut u8>,
    bytes: usize,
}

impl Filled {
    fn new(bytes: usize) -> Self {
        // The list gets its room before memory is short.
        let mut blocks = Vec::with_capacity(LIMIT as usize / bytes);
        loop {
            // SAFETY: the size is not zero.
            let base = unsafe { GLOBAL.alloc(layout(bytes)) };
            if base.is_null() {
                return Self { blocks, bytes };
            }
            // SAFETY: the block has that many bytes.
            unsafe { base.write_bytes(blocks.len() as u8, bytes) };
            blocks.push(base);
        }
    }

    fn check(&self) {
        for (number, base) in self.blocks.iter().enumerate() {
            // SAFETY: a live block.
            let block = unsafe { std::slice::from_raw_parts(*base, self.bytes) };
            // All bytes are equal if the block equals itself one byte further on. This comparison is as fast as memcmp.
            let (first, last) = (block[0], block.len() - 1);
            assert!(first == number as u8 && block[..last] == block[1..], "block {number} has changed");
        }
    }

    fn free_from(&mut self, number: usize) {
        for base in self.blocks.drain(number..) {
            // SAFETY: a live block.
            unsafe { GLOBAL.dealloc(base, layout(self.bytes)) };
        }
    }
}

#[test]
fn small_objects_end_in_null() {
    limited(child!(), || {
        for bytes in [250, 20_000] {
            let mut filled = Filled::new(bytes);
            let count = filled.blocks.len();
            assert!(count * bytes > 32 * MIB, "only {count} blocks of {bytes}");
            // Null again, and again.
            // SAFETY: the size is not zero.
            assert!((0..1000).all(|_| unsafe { GLOBAL.alloc(layout(100_000)) }.is_null()));
            filled.check();
            // A freed tenth serves again, also for other sizes.
            filled.free_from(count - count / 10);
            let words: Vec<String> = (0..1000).map(|i| format!("word {i}")).collect();
            assert_eq!(words[999], "word 999");
            drop(words);
            filled.check();
            common::wait_for_the_books();
            filled.free_from(0);
            drop(filled);
            // All memory can be had again.
            let mut again = Filled::new(bytes);
            assert!(again.blocks.len() * 100 >= count * 98, "{count} became {}\n{}", again.blocks.len(), neap::stats());
            again.free_from(0);
            neap::scavenge();
        }
        common::wait_for_the_books();
    });
}

#[test]
fn large_objects_end_in_null() {
    limited(child!(), || {
        let mut filled = Filled::new(MIB);
        let count = filled.blocks.len();
        assert!(count > 32, "{count}");
        let mut vector: Vec<u8> = Vec::new();
        assert!(vector.try_reserve(64 * MIB).is_err());
        assert!(vector.try_reserve_exact(isize::MAX as usize).is_err());
        filled.check();
        filled.free_from(count / 2);
        // A smaller part, because the last reservations were small: the free memory may not be in one piece.
        assert!(vector.try_reserve(count / 8 * MIB).is_ok(), "{}", neap::stats());
        filled.check();
        drop(vector);
        filled.free_from(0);
        common::wait_for_the_books();
    });
}

#[test]
fn many_threads_out_of_memory_at_once() {
    limited(child!(), || {
        let start = Barrier::new(5);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    start.wait();
                    for round in 0..20 {
                        let bytes = 100 << (round % 8);
                        let mut blocks = [std::ptr::null_mut(); 2000];
                        for block in &mut blocks {
                            // SAFETY: the size is not zero; what is not null has that many bytes.
                            unsafe {
                                *block = GLOBAL.alloc(layout(bytes));
                                if !block.is_null() {
                                    block.write_bytes(round as u8, bytes);
                                }
                            }
                        }
                        for block in blocks.into_iter().filter(|block| !block.is_null()) {
                            // SAFETY: a live block.
                            unsafe {
                                assert_eq!((block.read(), block.add(bytes - 1).read()), (round as u8, round as u8));
                                GLOBAL.dealloc(block, layout(bytes));
                            }
                        }
                    }
                    start.wait();
                });
            }
            // The threads have their stacks. Now memory runs out, but for a few blocks for all of them.
            start.wait();
            let mut filled = Filled::new(MIB);
            filled.free_from(filled.blocks.len() - 4);
            start.wait();
            start.wait();
            filled.check();
            filled.free_from(0);
        });
        neap::scavenge();
        common::wait_for_the_books();
    });
}

/// The program has room for its block as long as its freed memory is found: retained, cached, released or in flight.
#[test]
fn memory_that_is_being_released_counts_as_memory() {
    limited(child!(), || {
        let (stop, start) = (AtomicBool::new(false), Barrier::new(3));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    while !stop.load(Ordering::Relaxed) {
                        neap::scavenge();
                    }
                });
            }
            // All memory that can be had, and then the largest block that fits. Only this memory has room for the block.
            let mut filled = Filled::new(MIB);
            filled.free_from(0);
            // SAFETY: the size is not zero; what is not null is freed once.
            let fits = |bytes: usize| unsafe {
                let base = GLOBAL.alloc(layout(bytes));
                if !base.is_null() {
                    (0..bytes).step_by(4096).for_each(|at| base.add(at).write(1));
                    GLOBAL.dealloc(base, layout(bytes));
                }
                !base.is_null()
            };
            let bytes = (1..256).rev().map(|mib| mib * MIB).find(|bytes| fits(*bytes)).unwrap();
            assert!(bytes > 32 * MIB, "{bytes}");
            start.wait();
            let failed = (0..100).filter(|_| !fits(bytes)).count();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(failed, 0, "of {bytes}\n{}", neap::stats());
        });
    });
}

#[test]
fn a_realloc_that_fails_leaves_the_block_as_it_was() {
    limited(child!(), || {
        for bytes in [100, 30_000, 3 * MIB] {
            // SAFETY: the size is not zero, the block has that many bytes, and failing leaves it alone.
            unsafe {
                let base = GLOBAL.alloc(layout(bytes));
                base.write_bytes(7, bytes);
                assert!(GLOBAL.realloc(base, layout(bytes), 4 << 30).is_null());
                assert!(GLOBAL.realloc(base, layout(bytes), isize::MAX as usize - 7).is_null());
                assert!(std::slice::from_raw_parts(base, bytes).iter().all(|byte| *byte == 7));
                GLOBAL.dealloc(base, layout(bytes));
            }
        }
    });
}

#[test]
fn layouts_that_nobody_can_serve_are_null() {
    child!().holds(|| {
        let before = neap::stats();
        let top = isize::MAX as usize;
        for (size, align) in [
            (top, 1),
            (top - 8191, 8192),
            (1 << 62, 1 << 62),
            (1, 1 << 62),
            (1 << 48, 1),
            (1 << 47, 1 << 21),
            (1 << 46, 1 << 46),
        ] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the size is not zero.
            let (plain, zeroed) = unsafe { (GLOBAL.alloc(layout), GLOBAL.alloc_zeroed(layout)) };
            assert!(plain.is_null() && zeroed.is_null(), "{layout:?} gave {plain:?} {zeroed:?}");
        }
        let after = neap::stats();
        assert_eq!((after.mapped_bytes, after.in_use_bytes), (before.mapped_bytes, before.in_use_bytes));
        // Large and possible: the block is hardly touched.
        let large = Layout::from_size_align(1 << 33, 1 << 33).unwrap();
        // SAFETY: the size is not zero; the block is freed once.
        unsafe {
            let base = GLOBAL.alloc_zeroed(large);
            assert!(!base.is_null() && base.addr() % (1 << 33) == 0);
            assert_eq!((base.read(), base.add((1 << 33) - 1).read()), (0, 0));
            GLOBAL.dealloc(base, large);
        }
        common::wait_for_the_books();
    });
}

#[test]
fn a_program_starts_under_tight_limits_or_says_that_it_cannot() {
    // Below some limit the test program itself cannot start. It never hangs and never crashes in another way.
    for limit in [24 << 20, 48 << 20, 96 << 20, 192 << 20, 1 << 30] {
        let nothing = || {};
        child!().case(limit).address_space(limit).ends(nothing, |ended| {
            if limit >= 96 << 20 {
                ended.assert_held();
            } else {
                assert!(ended.signal != Some(libc::SIGSEGV), "{ended}");
            }
        });
    }
}
