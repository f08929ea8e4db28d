//! Shards: each has a page heap, a page cache, and a depot and a central of each class; threads are spread over them.
//!
//! A span belongs to the shard that made it, and a chunk to the page heap that grew by it. So threads of different shards
//! neither wait for each other nor write to the same cache lines: those of locks, of records and bitmaps, and of each other's
//! objects. Where a line takes 170 ns from one core to the other (two groups of cores), binary trees and maps on two threads
//! took half as long again with one shard.
//!
//! A small process has one shard, for each makes the heap's extent larger; and one page heap for longer than one shard, for
//! each begins with a huge page of its own. A thread whose shard has nothing takes what
//! other shards do not need (`unneeded`) before its own page heap grows, so memory is not kept apart for good.
//!
//! Orderings: the number in use is written with Release and read with Acquire: who sees a shard sees what was published before
//! it came into use. A number that is behind means a shard not used, or not looked at, for a moment longer. The rest is Relaxed.
//!
//! Locks: none here; the number in use changes under the registry's lock, so that it stands still during a fork.

use core::ops::Range;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{const_unless_loom, plain};
use crate::units::CHUNK_BYTES;
pub use crate::units::SHARDS;

/// With so much in use for each shard there may be as many.
const SHARD_BYTES: usize = if cfg!(loom) { 0 } else { 768 << 10 };
/// With so much in use there is a second page heap for small spans. Two threads that come to the same huge page first are both
/// in the kernel for it, which clears it twice: with one page heap until 16 MiB in use a server's p99.9 was a third higher.
const SECOND_BYTES: usize = if cfg!(loom) { 1 } else { 6 << 20 };
/// With so much in use for each page heap there may be as many for small spans ...
const SPANS_BYTES: usize = if cfg!(loom) { 1 } else { 2 * CHUNK_BYTES };
/// ... and as many for large blocks, whose threads would wait for each other at every step.
const LARGE_BYTES: usize = if cfg!(loom) { 1 } else { CHUNK_BYTES / 2 };

/// How many shards are in use, and how many there may be.
pub struct Shards {
    used: AtomicUsize,
    most: plain::AtomicUsize,
    /// Whether address space is too short for more than one page heap.
    one_page_heap: plain::AtomicBool,
}

impl Shards {
    const_unless_loom! {
        /// All zero; [`Shards::configure`] comes before anything else.
        pub fn new() -> Self {
            Self { used: AtomicUsize::new(0), most: plain::AtomicUsize::new(0), one_page_heap: plain::AtomicBool::new(false) }
        }
    }

    /// One shard, and up to one a processor: with more, threads that come and go spread thin over them, and two busy ones seldom share one.
    pub fn configure(&self, cpus: usize) {
        self.used.store(1, Ordering::Relaxed);
        self.most.store(cpus.next_power_of_two().min(SHARDS), Ordering::Relaxed);
    }

    /// Whether a heap with so much in use wants more shards than there are.
    pub fn wants_more(&self, in_use_bytes: usize) -> bool {
        let more = 2 * self.used.load(Ordering::Relaxed);
        more <= self.most.load(Ordering::Relaxed) && in_use_bytes >= more * SHARD_BYTES
    }

    /// Twice as many shards. Called under the registry's lock, if more are wanted.
    pub fn double(&self) {
        self.used.store(2 * self.used.load(Ordering::Relaxed), Ordering::Release);
    }

    /// The shard of the thread with that number.
    #[inline]
    pub fn of(&self, thread: usize) -> usize {
        // A power of two.
        thread & (self.used.load(Ordering::Acquire) - 1) & (SHARDS - 1)
    }

    /// The shard whose page heap and page cache a shard's threads go to for a small span, or for a large block, with so much
    /// in use.
    #[inline]
    pub fn page_heap_of(&self, shard: usize, in_use_bytes: usize, is_large: bool) -> usize {
        if shard == 0 || self.one_page_heap.load(Ordering::Relaxed) {
            return 0;
        }
        let heaps = if is_large {
            in_use_bytes / LARGE_BYTES
        } else if in_use_bytes < SECOND_BYTES {
            1
        } else {
            (in_use_bytes / SPANS_BYTES).max(2)
        };
        shard % heaps.clamp(1, SHARDS)
    }

    /// From now on all shards use the first page heap: address space is short, and a second reservation would leave both without
    /// room.
    pub fn keep_one_page_heap(&self) {
        self.one_page_heap.store(true, Ordering::Relaxed);
    }

    /// The shards in use: these and no others have memory.
    pub fn all(&self) -> Range<usize> {
        0..self.used.load(Ordering::Acquire)
    }

    /// The shards in use but `shard`, those that follow it first.
    pub fn others(&self, shard: usize) -> impl Iterator<Item = usize> + use<> {
        let used = self.used.load(Ordering::Acquire);
        (1..used).map(move |distance| (shard + distance) % used)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_heap_that_grows_has_as_many_shards_as_processors_in_the_end() {
        for (cpus, steps) in [(1, &[][..]), (2, &[6]), (3, &[6, 12]), (8, &[6, 12, 24]), (100, &[6, 12, 24])] {
            let shards = Shards::new();
            shards.configure(cpus);
            for step in steps {
                assert!(!shards.wants_more(step * MIB / 4 - 1), "{cpus} processors, {step} quarters of a MiB");
                assert!(shards.wants_more(step * MIB / 4), "{cpus} processors, {step} quarters of a MiB");
                shards.double();
            }
            assert!(!shards.wants_more(usize::MAX / 2), "{cpus} processors");
            assert_eq!(shards.all(), 0..1 << steps.len());
        }
    }

    #[test]
    fn small_heaps_are_spread_over_few_page_heaps() {
        let shards = Shards::new();
        for (in_use_mib, heaps) in
            [(0, [0; 4]), (5, [0; 4]), (6, [0, 1, 0, 1]), (23, [0, 1, 0, 1]), (24, [0, 1, 2, 1]), (64, [0, 1, 2, 7])]
        {
            assert_eq!(
                [0, 1, 2, 7].map(|shard| shards.page_heap_of(shard, in_use_mib * MIB, false)),
                heaps,
                "{in_use_mib} MiB"
            );
        }
        for (in_use_mib, heaps) in [(0, [0, 0, 0]), (3, [0, 0, 0]), (4, [0, 1, 1]), (16, [0, 1, 7])] {
            assert_eq!(
                [0, 1, 7].map(|shard| shards.page_heap_of(shard, in_use_mib * MIB, true)),
                heaps,
                "{in_use_mib} MiB"
            );
        }
        shards.keep_one_page_heap();
        assert_eq!([0, 1, 7].map(|shard| shards.page_heap_of(shard, 1 << 30, true)), [0; 3]);
    }

    #[test]
    fn threads_take_turns() {
        let shards = Shards::new();
        shards.configure(4);
        assert_eq!([0, 1, 2, 3].map(|thread| shards.of(thread)), [0; 4]);
        shards.double();
        shards.double();
        assert_eq!([0, 1, 2, 3, 4, 7].map(|thread| shards.of(thread)), [0, 1, 2, 3, 0, 3]);
        assert_eq!(shards.others(2).collect::<Vec<_>>(), [3, 0, 1]);
    }
}
