//! What the models look at in the page heaps: doors, no behaviour.
//!
//! Locks: heap and page cache, one at a time.

use crate::units::{Chunk, PAGE_BYTES};

use super::PageHeaps;

impl PageHeaps {
    /// The number of the highest chunk that has retained pages, if any, and whether its mark would be found.
    pub fn is_retained_chunk_marked(&self) -> Option<bool> {
        let chunk = {
            let retained = |chunk: &Chunk| self.page_heap_of(*chunk).lock().allocator.chunk_retained(*chunk) != 0;
            (0..=self.high_chunk().0).rev().map(Chunk).find(retained)?
        };
        Some(self.index.find(self.index.start(), Some(Chunk(chunk.0 + 1))) == Some(chunk))
    }

    /// Checks the accounts of a heap that nobody uses: the bitmaps against their summaries and counters, and that
    /// mapped = in use + free + in flight + cached, with nothing in flight. Returns the pages in use, retained and
    /// released; those in page caches count as what they are.
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
            "the published level is not the truth"
        );
        (in_use, retained + cached.0 - cached.1, scavenged + cached.1)
    }
}
