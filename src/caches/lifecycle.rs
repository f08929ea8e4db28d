//! The life of a thread's cache: how a thread gets a cache, how it gives the cache back, and how the child of a fork adopts
//! the caches of threads that do not exist in the child.
//!
//! Orderings: as in `slow_path`.
//!
//! Locks: registry, depot, metadata and the locks of the floors below, one at a time.

use core::ptr::NonNull;

use crate::size_class::CLASSES;
use crate::sync::atomic::Ordering;

use super::Caches;
use super::magazine::{self, Word};
use super::thread_cache::{DRAINED, NOT_DRAINED, ThreadCache, ThreadWords, gone};

impl Caches {
    /// Makes a cache for the calling thread. `None` if the OS gives no memory for a cache. The caller makes sure that the
    /// thread's exit gives the cache back: if a cache outlived its thread, drainers would write into the thread's words.
    ///
    /// # Safety
    /// The words are the calling thread's. The thread has no cache and had none.
    pub unsafe fn make_cache<'a>(&self, words: &ThreadWords) -> Option<&'a ThreadCache> {
        let reused = self.registry.lock().reuse();
        let memory = match reused {
            Some(memory) => memory,
            None => self.metadata.allocate(size_of::<ThreadCache>())?.cast(),
        };
        let sentinel: *const Word = self.sentinel.load(Ordering::Relaxed);
        // SAFETY: the memory has the right size and alignment, and nobody uses it; the cache is registered once.
        unsafe {
            memory.write(ThreadCache::new(sentinel));
            memory.as_ref().words.store(core::ptr::from_ref(words).cast_mut(), Ordering::Relaxed);
            words.own.store(memory.as_ptr(), Ordering::Relaxed);
            // The word is set before the cache is registered. A drainer may change the word of a registered cache, and its
            // store must not be overwritten.
            words.fast.store(memory.as_ptr(), Ordering::Release);
            let mut registry = self.registry.lock();
            memory.as_ref().number.set(registry.created());
            registry.add(memory);
            Some(memory.as_ref())
        }
    }

    /// Gives a thread's whole cache back, at the thread's exit. The thread may go on to allocate and free, slowly. `true` if this
    /// was the last cache.
    ///
    /// # Safety
    /// The words are the calling thread's.
    pub unsafe fn give_back_cache(&self, words: &ThreadWords) -> bool {
        let own = words.own.load(Ordering::Relaxed);
        if own.is_null() || own == gone() {
            words.own.store(gone(), Ordering::Relaxed);
            return false;
        }
        // SAFETY: neither null nor `gone`, so this thread's cache.
        let cache = unsafe { NonNull::new_unchecked(own) };
        // SAFETY: as above.
        let cache_ref = unsafe { cache.as_ref() };
        loop {
            cache_ref.enter_slow_path();
            let mut registry = self.registry.lock();
            // Drainers mark registered caches under this lock. So a cache that has no mark now gets none before it is removed.
            if cache_ref.drain.word().load(Ordering::Acquire) == NOT_DRAINED {
                words.fast.store(self.sentinel_cache.load(Ordering::Relaxed), Ordering::Relaxed);
                words.own.store(gone(), Ordering::Relaxed);
                // SAFETY: the cache is registered and not drained; it is removed and emptied before it is recycled, and this
                // thread does not use it any more.
                unsafe {
                    registry.remove(cache);
                    let was_last = registry.live() == 0;
                    drop(registry);
                    self.empty_cache(cache_ref);
                    self.registry.lock().recycle(cache);
                    return was_last;
                }
            }
            drop(registry);
            cache_ref.leave_slow_path();
            cache_ref.drain.wait(DRAINED, None);
        }
    }

    /// Moves all slots and magazines of a cache to depots and spans. Neither its thread nor a drainer uses the cache meanwhile.
    pub(super) fn empty_cache(&self, cache: &ThreadCache) {
        for class in 0..CLASSES {
            // Without this, a drained spare would pass for a full magazine.
            self.reset_drained_spare(cache, class);
            for cell in [&cache.tops[class], &cache.spares[class]] {
                let top = cell.swap(cache.sentinel(), Ordering::Relaxed);
                let Some(magazine) = self.own_magazine(top) else { continue };
                let is_full = magazine::above(top).is_none();
                if is_full {
                    let shard = self.shard_of_slots(class, magazine);
                    if let Some(empty) = self.trade_full(shard, class, magazine) {
                        self.keep_empty(shard, class, empty);
                        continue;
                    }
                }
                // SAFETY: the cache's own magazine, which is in no cell now.
                unsafe { self.flush_magazine(class, top) };
                self.give_empty(self.shard_of(cache), class, magazine);
            }
        }
    }

    /// In the child of a fork: empties the caches of the threads that do not exist in the child. `own` is the calling thread's
    /// cache.
    ///
    /// # Safety
    /// This is the child's only thread, and it is in no slow path.
    pub unsafe fn adopt_orphans(&self, own: Option<&ThreadCache>) {
        let own = own.map_or(core::ptr::null(), core::ptr::from_ref);
        loop {
            let orphan = {
                let mut registry = self.registry.lock();
                let orphan = registry.iter().find(|cache| !core::ptr::eq(*cache, own)).map(NonNull::from);
                if let Some(orphan) = orphan {
                    // SAFETY: the cache is registered; it has neither an owner nor a drainer, since this is the only thread.
                    unsafe { registry.remove(orphan) };
                }
                orphan
            };
            let Some(orphan) = orphan else { return };
            // SAFETY: the cache was removed just now, so nobody else knows it.
            unsafe {
                self.empty_cache(orphan.as_ref());
                self.registry.lock().recycle(orphan);
            }
        }
    }
}
