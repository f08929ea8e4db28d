//! Checks of the page heaps for the models. This module changes nothing.
//!
//! Locks: heap and page cache, one at a time.

use crate::units::{Chunk, PAGE_BYTES};

use super::PageHeaps;

impl PageHeaps {
    /// Whether a search finds the mark of the highest chunk that has retained pages; `None` if no chunk has any.
    pub fn is_retained_chunk_marked(&self) -> Option<bool> {
        let chunk = {
            let retained = |chunk: &Chunk| self.page_heap_of(*chunk).lock().allocator.chunk_retained(*chunk) != 0;
            (0..=self.high_chunk().0).rev().map(Chunk).find(retained)?
        };
        Some(self.index.find(self.index.start(), Some(Chunk(chunk.0 + 1))) == Some(chunk))
    }

    /// Checks the accounts of a heap that nobody uses: the bitmaps against their summaries and counters, and that mapped =
    /// in use + free + cached, with nothing in flight. Returns the pages in use, retained and released. Pages in page
    /// caches count as retained or released.
    pub fn check_accounts(&self) -> (usize, usize, usize) {
        let mut cached = (0, 0);
        for shard_cache in &self.page_caches {
            if let Some(cache) = &shard_cache.lock().current {
                cached.0 += cache.free_pages();
                cached.1 += cache.scavenged_pages();
            }
        }
        let (mut mapped, mut free, mut scavenged) = (0, 0, 0);
        for page_heap in &self.page_heaps {
            let page_heap = page_heap.lock();
            page_heap.allocator.validate().expect("bitmaps, summaries and counters agree");
            assert_eq!(page_heap.in_flight_pages, 0, "pages stayed in flight");
            mapped += page_heap.mapped_pages();
            free += page_heap.allocator.free_pages();
            scavenged += page_heap.allocator.scavenged_pages();
        }
        let in_use = self.accounts.counters.in_use_bytes() / PAGE_BYTES;
        assert_eq!(mapped, in_use + free + cached.0, "mapped pages are not in use + free + cached");
        let retained = free - scavenged;
        assert_eq!(
            self.accounts.counters.retained_bytes() / PAGE_BYTES,
            retained,
            "the published level differs from the page allocators"
        );
        (in_use, retained + cached.0 - cached.1, scavenged + cached.1)
    }
}
