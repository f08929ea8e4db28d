//! Runs from page caches: a short run comes from a shard's page cache, so most spans are made without the heap lock.
//!
//! Locks: page cache and heap, one after the other, never both.

use crate::pages::{CACHE_RUN_LIMIT, PageCache, Taken};
use crate::units::Run;

use super::PageHeaps;
use super::single::{Request, or_abort};

impl PageHeaps {
    /// Takes a short run from the shard's page cache. The page cache gets a new block if its block has no such run.
    pub(super) fn take_from_page_cache(&self, shard: usize, request: Request) -> Option<Taken> {
        let page_cache = &self.page_caches[shard];
        let recent = {
            let mut shard_cache = page_cache.lock();
            let taken = shard_cache.current.as_mut().and_then(|cache| cache.alloc(request.pages));
            if let Some(taken) = taken {
                drop(shard_cache);
                self.accounts.counters.add_in_use(request.pages, taken.scavenged_pages);
                return Some(taken);
            }
            shard_cache.recent()
        };
        let block = {
            let mut page_heap = self.page_heaps[shard].lock();
            let own = recent.into_iter().find_map(|base| page_heap.allocator.take_cache_at(base, CACHE_RUN_LIMIT));
            let block = own.or_else(|| page_heap.allocator.take_cache());
            self.publish_retained(shard, &mut page_heap);
            block
        };
        let Some(mut block) = block else { return self.take_from_page_heaps(shard, request) };
        let Some(taken) = block.alloc(request.pages) else {
            // The block is too fragmented for this run. It goes back at once, so that it does not push out the pages in the
            // cache.
            self.return_page_cache(Some(block));
            return self.take_from_page_heaps(shard, request);
        };
        self.accounts.counters.add_in_use(request.pages, taken.scavenged_pages);
        if !block.is_empty() {
            let before = page_cache.lock().replace(block);
            self.return_page_cache(before);
        }
        Some(taken)
    }

    /// Gives the pages left of a block back to their page heap.
    pub(super) fn return_page_cache(&self, cache: Option<PageCache>) {
        let Some(cache) = cache.filter(|cache| !cache.is_empty()) else { return };
        let block = Run { first: cache.base, pages: 1 };
        let retained = cache.free_pages() != cache.scavenged_pages();
        let shard = self.index.owner(cache.base.chunk());
        let mut page_heap = self.page_heaps[shard].lock();
        or_abort(page_heap.allocator.return_cache(cache));
        if retained {
            self.index.mark(block);
        }
        self.publish_retained(shard, &mut page_heap);
    }

    /// Gives the free pages of all page caches back to their page heaps.
    pub fn trim(&self) {
        for shard_cache in &self.page_caches {
            let idle = {
                let mut shard_cache = shard_cache.lock();
                shard_cache.current.take()
            };
            self.return_page_cache(idle);
        }
    }
}
