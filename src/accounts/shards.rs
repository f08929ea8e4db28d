//! Shards: how many are in use, and which shard a thread goes to.
//!
//! A shard has a page heap, a page cache, and for each size class a depot and a central. Threads are spread over the
//! shards. A span belongs to the shard that made it, and a chunk belongs to the page heap that grew by it. So threads of
//! different shards neither wait for each other nor write to the same cache lines: the lines of locks, of records and
//! bitmaps, and of each other's objects.
//!
//! A small process has one shard, because each shard makes the heap larger. Even with several shards it has one page heap
//! at first, because each page heap begins with a huge page of its own. Memory is not kept apart for good: a thread whose
//! shard has nothing takes the excess of other shards (`working_set`) before its own page heap grows.
//!
//! Orderings: the number of shards is written with Release and read with Acquire. A thread that sees a shard sees what was
//! published before the shard came into use. A thread that reads an older number leaves a shard unused, or does not look at
//! it, for a moment longer. All else is Relaxed.
//!
//! Locks: none here. The number changes under the registry's lock, so it stands still during a fork.

use core::ops::Range;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{const_unless_loom, plain};
use crate::units::CHUNK_BYTES;
pub use crate::units::SHARDS;

/// The bytes in use that each shard needs: with two times this number in use the heap has two shards.
const BYTES_PER_SHARD: usize = if cfg!(loom) { 0 } else { 768 << 10 };
/// The bytes in use from which on small spans have a second page heap. With one page heap two threads may touch the same
/// fresh huge page at once: both are in the kernel then, and the kernel clears the huge page twice.
const SECOND_PAGE_HEAP_BYTES: usize = if cfg!(loom) { 1 } else { 6 << 20 };
/// The bytes in use that each page heap for small spans needs, from the third page heap on.
const BYTES_PER_PAGE_HEAP: usize = if cfg!(loom) { 1 } else { 2 * CHUNK_BYTES };
/// The same for large blocks. It is less, because threads with large blocks would wait for each other at every step.
const LARGE_BYTES_PER_PAGE_HEAP: usize = if cfg!(loom) { 1 } else { CHUNK_BYTES / 2 };

/// How many shards are in use, and how many there may be.
pub struct Shards {
    in_use: AtomicUsize,
    max: plain::AtomicUsize,
    /// Whether address space is too short for more than one page heap.
    one_page_heap: plain::AtomicBool,
}

impl Shards {
    const_unless_loom! {
        /// All zero. The caller calls [`Shards::configure`] before anything else.
        pub fn new() -> Self {
            Self { in_use: AtomicUsize::new(0), max: plain::AtomicUsize::new(0), one_page_heap: plain::AtomicBool::new(false) }
        }
    }

    /// Begins with one shard, and allows one shard a processor. Two busy threads seldom share a shard then. With more
    /// shards, threads that come and go would leave memory in all of them.
    pub fn configure(&self, cpus: usize) {
        self.in_use.store(1, Ordering::Relaxed);
        self.max.store(cpus.next_power_of_two().min(SHARDS), Ordering::Relaxed);
    }

    /// Whether a heap with `in_use_bytes` in use wants more shards than it has.
    pub fn wants_more(&self, in_use_bytes: usize) -> bool {
        let more = 2 * self.in_use.load(Ordering::Relaxed);
        more <= self.max.load(Ordering::Relaxed) && in_use_bytes >= more * BYTES_PER_SHARD
    }

    /// Doubles the number of shards. Called under the registry's lock, if the heap wants more.
    pub fn double(&self) {
        self.in_use.store(2 * self.in_use.load(Ordering::Relaxed), Ordering::Release);
    }

    /// The shard of the thread with the number `thread`.
    #[inline]
    pub fn of(&self, thread: usize) -> usize {
        // The number of shards is a power of two.
        thread & (self.in_use.load(Ordering::Acquire) - 1) & (SHARDS - 1)
    }

    /// The shard whose page heap and page cache serve the threads of `shard`, for a small span or for a large block. A heap
    /// with little in use has fewer page heaps than shards.
    #[inline]
    pub fn page_shard(&self, shard: usize, in_use_bytes: usize, is_large: bool) -> usize {
        if shard == 0 || self.one_page_heap.load(Ordering::Relaxed) {
            return 0;
        }
        let page_heaps = if is_large {
            in_use_bytes / LARGE_BYTES_PER_PAGE_HEAP
        } else if in_use_bytes < SECOND_PAGE_HEAP_BYTES {
            1
        } else {
            (in_use_bytes / BYTES_PER_PAGE_HEAP).max(2)
        };
        shard % page_heaps.clamp(1, SHARDS)
    }

    /// Makes all shards use the first page heap from now on. Address space is short, and a second reservation would leave
    /// both page heaps without room.
    pub fn keep_one_page_heap(&self) {
        self.one_page_heap.store(true, Ordering::Relaxed);
    }

    /// The shards in use. No other shard has memory.
    pub fn all(&self) -> Range<usize> {
        0..self.in_use.load(Ordering::Acquire)
    }

    /// The shards in use except `shard`. The shards that follow it come first.
    pub fn others(&self, shard: usize) -> impl Iterator<Item = usize> + use<> {
        let in_use = self.in_use.load(Ordering::Acquire);
        (1..in_use).map(move |distance| (shard + distance) % in_use)
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
        for (in_use_mib, page_shards) in
            [(0, [0; 4]), (5, [0; 4]), (6, [0, 1, 0, 1]), (23, [0, 1, 0, 1]), (24, [0, 1, 2, 1]), (64, [0, 1, 2, 7])]
        {
            assert_eq!(
                [0, 1, 2, 7].map(|shard| shards.page_shard(shard, in_use_mib * MIB, false)),
                page_shards,
                "{in_use_mib} MiB"
            );
        }
        for (in_use_mib, page_shards) in [(0, [0, 0, 0]), (3, [0, 0, 0]), (4, [0, 1, 1]), (16, [0, 1, 7])] {
            assert_eq!(
                [0, 1, 7].map(|shard| shards.page_shard(shard, in_use_mib * MIB, true)),
                page_shards,
                "{in_use_mib} MiB"
            );
        }
        shards.keep_one_page_heap();
        assert_eq!([0, 1, 7].map(|shard| shards.page_shard(shard, 1 << 30, true)), [0; 3]);
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
