//! Draining: the magazines of idle threads are emptied from outside, so that the caches do not hide memory.
//!
//! `thread_cache` describes the protocol.
//!
//! Orderings: those of the protocol. The address of the sentinel cache never changes, so its load is Relaxed.
//!
//! Locks: registry, then the locks of the floors below, one at a time. No lock is held while a cache is drained: the mark on the
//! cache holds its owner back.

use core::ptr::null_mut;

use crate::lock::heavy_barrier;
use crate::size_class::CLASSES;
use crate::sync::atomic::Ordering;

use super::Caches;
use super::magazine::MAX_SLOTS;
use super::thread_cache::ThreadCache;

/// Caches that are drained after one barrier. A barrier for each cache would be dear; a larger batch makes owners wait longer.
const DRAIN_BATCH: usize = 16;

impl Caches {
    /// Empties the magazines of other threads. `own` is the calling thread's cache and is not touched. A thread in a slow path
    /// is left alone: it trades with the depot anyway. A thread whose cache is being drained waits at its next slow path, so
    /// few caches are drained at a time.
    pub fn drain(&self, own: *const ThreadCache) {
        let mut after = 0;
        while let Some(last) = self.drain_batch(own, after) {
            after = last;
        }
    }

    /// Drains the caches with the lowest addresses above `after`, so that each cache that stays registered has its turn.
    /// Returns the last address of the batch if there may be further caches.
    fn drain_batch(&self, own: *const ThreadCache, after: usize) -> Option<usize> {
        let sentinel_cache = self.sentinel_cache.load(Ordering::Relaxed);
        let mut marked: *mut ThreadCache = null_mut();
        let last;
        {
            let registry = self.registry.lock();
            let address = |cache: &ThreadCache| core::ptr::from_ref(cache).addr();
            let mut lowest = [usize::MAX; DRAIN_BATCH];
            for cache in registry.iter() {
                let at = address(cache);
                if at <= after || core::ptr::eq(cache, own) || at >= lowest[DRAIN_BATCH - 1] {
                    continue;
                }
                let place = lowest.partition_point(|lower| *lower < at);
                lowest.copy_within(place..DRAIN_BATCH - 1, place + 1);
                lowest[place] = at;
            }
            last = lowest[DRAIN_BATCH - 1];
            for cache in registry.iter() {
                let this: *const ThreadCache = cache;
                if address(cache) <= after || this == own || address(cache) > last {
                    continue;
                }
                // SAFETY: under the registry's lock, and the cache is registered.
                if unsafe { cache.begin_drain(sentinel_cache) } {
                    cache.next_to_drain.set(marked);
                    marked = this.cast_mut();
                }
            }
        }
        self.drain_marked(marked);
        (last != usize::MAX).then_some(last)
    }

    /// Empties the magazines of a list of marked caches, and removes the marks.
    fn drain_marked(&self, mut marked: *mut ThreadCache) {
        if marked.is_null() {
            return;
        }
        // Without the barrier no magazine may be touched; only the marks are removed.
        let stopped = heavy_barrier();
        // SAFETY: marked caches stay registered and valid.
        while let Some(cache) = unsafe { marked.as_ref() } {
            marked = cache.next_to_drain.get();
            if stopped && !cache.owner_is_in_slow_path() {
                self.drain_cache(cache);
            }
            // SAFETY: marked above.
            unsafe { cache.end_drain() };
        }
    }

    fn drain_cache(&self, cache: &ThreadCache) {
        for class in 0..CLASSES {
            let mut words = [0; 1 + 2 * MAX_SLOTS];
            // SAFETY: marked, after the barrier, with the owner outside its slow path.
            let count = unsafe { cache.take_idle(class, &mut words[1..]) };
            self.centrals.flush_slots(class, &mut words[..=count]);
        }
    }

    /// Gives the slots in the calling thread's cache back to their spans. The cache keeps its magazines.
    pub fn flush_own_cache(&self, cache: &ThreadCache) {
        cache.enter_slow_path();
        for class in 0..CLASSES {
            for cell in [&cache.tops[class], &cache.spares[class]] {
                let top = cell.load(Ordering::Relaxed);
                let Some(magazine) = self.own_magazine(top) else { continue };
                cell.store(cache.sentinel(), Ordering::Release);
                // SAFETY: the thread's own magazine, in no cell now.
                unsafe { self.flush_magazine(class, top) };
                cell.store(magazine.reset(class).cast_mut(), Ordering::Release);
            }
        }
        cache.leave_slow_path();
    }
}
