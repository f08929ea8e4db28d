//! Releasing all free memory at once: what `neap::scavenge()` does.
//!
//! Locks: none of its own.

use crate::caches::ThreadCache;
use crate::page_heap::ReleaseOptions;

use super::Heap;

impl Heap {
    /// Empties the caches, then releases every free page and every hole. Returns how many bytes were released. `own` is the
    /// calling thread's cache, or null. The thread has flushed it already.
    pub fn scavenge_all(&self, own: *const ThreadCache) -> usize {
        self.caches.drain(own);
        self.caches.trim(true);
        self.accounts().counters.next_tick();
        let pages = self.page_heaps().scavenge(usize::MAX, ReleaseOptions::FULL).bytes;
        let holes = self.centrals().release_holes(usize::MAX, 0, ReleaseOptions::FULL).bytes;
        self.page_heaps().split_huge_pages(usize::MAX, ReleaseOptions::FULL);
        pages + holes
    }
}
