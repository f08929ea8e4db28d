//! Giving everything back at once: what `neap::scavenge()` does.
//!
//! Orderings: as in `front`, whose slow path this is a part of.
//!
//! Locks: none of its own.

use core::ptr::NonNull;

use crate::size_class::CLASSES;
use crate::sync::atomic::Ordering;
use crate::thread_cache::ThreadCache;

use super::{Heap, ReleaseOptions};

impl Heap {
    /// Empties the caches, then releases every free page and every hole. Returns the bytes given back. `own` is the
    /// calling thread's cache, which it has flushed itself, or null.
    pub fn scavenge_everything(&self, own: *const ThreadCache) -> usize {
        self.drain_caches(own);
        self.trim_caches(true);
        self.next_tick();
        let pages = self.scavenge(usize::MAX, ReleaseOptions::FULL).bytes;
        let holes = self.release_holes(usize::MAX, 0, ReleaseOptions::FULL).bytes;
        self.split_huge_pages(usize::MAX, ReleaseOptions::FULL);
        pages + holes
    }

    /// Gives the slots in the calling thread's cache back to their spans; it keeps its magazines.
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

    /// Memory for the state of a scavenger without a thread.
    pub fn inline_scavenger_memory(&self, bytes: usize) -> Option<NonNull<u8>> {
        self.metadata.allocate(bytes)
    }

    /// Ends the process unless `address` is a slot of the class that is free neither in its span nor in the calling
    /// thread's magazines. (Other threads' magazines and the depot are not searched: that is seen when they are flushed.)
    #[cfg(debug_assertions)]
    pub fn check_free(&self, own: Option<&ThreadCache>, address: usize, class: usize) {
        use crate::central::Misuse;
        let result = match self.map.lookup(address) {
            Some(span) if span.state() == crate::span::STATE_SMALL && span.class() == class => {
                self.centrals[span.shard()][class].lock().check_live(class, span, address)
            }
            _ => Err(Misuse::Foreign(address)),
        };
        self.or_abort(result);
        if own.is_some_and(|cache| cache.holds(class, address)) {
            self.or_abort::<()>(Err(Misuse::DoubleFree(address)));
        }
    }
}
