//! A shard's home: the page cache that its spans' pages come from, and the blocks that it took pages from before.
//!
//! Pages that a shard's threads wrote to last are in their processors' caches. So the next block is one of the shard's
//! own, if one has enough pages back by then, and only else the lowest of the heap. Where a cache line takes 180 ns from one
//! core to the other, a parallel compiler's load took so much less time: see ARCHITECTURE.md.
//!
//! Locks: page cache, around the whole.

use crate::pages::{CACHE_RUN_LIMIT, PageCache, Taken};
use crate::units::{Page, Run};

use super::PageHeaps;
use super::single::{Want, or_abort};

/// Blocks that are remembered.
pub const BLOCKS: usize = if cfg!(loom) { 1 } else { 32 };

/// See the module's header.
pub struct ShardPageCache {
    /// What is left of the block in use.
    pub cache: Option<PageCache>,
    /// The blocks taken last, in a ring.
    blocks: [Page; BLOCKS],
    next: usize,
}

impl ShardPageCache {
    /// No pages, no blocks.
    pub const fn new() -> Self {
        Self { cache: None, blocks: [Page(0); BLOCKS], next: 0 }
    }

    /// The first pages of the blocks taken before; page 0 stands for none.
    pub fn blocks(&self) -> [Page; BLOCKS] {
        self.blocks
    }

    /// Begins to use a block; what was left of the one before is the caller's.
    pub fn replace(&mut self, cache: PageCache) -> Option<PageCache> {
        self.note(cache.base);
        self.cache.replace(cache)
    }

    /// Notes that pages were taken from the block at `base`.
    pub fn note(&mut self, base: Page) {
        if !self.blocks.contains(&base) {
            self.blocks[self.next] = base;
            self.next = (self.next + 1) % BLOCKS;
        }
    }
}

impl PageHeaps {
    /// Takes a short run from the shard's page cache, which gets a new block if it must.
    pub(super) fn take_by_cache(&self, shard: usize, want: Want) -> Option<Taken> {
        let cache = &self.page_caches[shard];
        let blocks = {
            let mut home = cache.lock();
            let taken = home.cache.as_mut().and_then(|cache| cache.alloc(want.pages));
            if let Some(taken) = taken {
                drop(home);
                self.accounts.counters.add_in_use(want.pages, taken.scavenged_pages);
                return Some(taken);
            }
            home.blocks()
        };
        let block = {
            let mut heap = self.heaps[shard].lock();
            let own = blocks.into_iter().find_map(|base| heap.allocator.take_cache_at(base, CACHE_RUN_LIMIT));
            let block = own.or_else(|| heap.allocator.take_cache());
            self.publish_retained(shard, &mut heap);
            block
        };
        let Some(mut block) = block else { return self.take_from_heaps(shard, want) };
        let Some(taken) = block.alloc(want.pages) else {
            // The block is too fragmented for this run: it goes back at once, rather than push out what the cache holds.
            self.return_page_cache(Some(block));
            return self.take_from_heaps(shard, want);
        };
        self.accounts.counters.add_in_use(want.pages, taken.scavenged_pages);
        if !block.is_empty() {
            let before = cache.lock().replace(block);
            self.return_page_cache(before);
        }
        Some(taken)
    }

    /// Gives a block's pages back to the heap.
    pub(super) fn return_page_cache(&self, cache: Option<PageCache>) {
        let Some(cache) = cache.filter(|cache| !cache.is_empty()) else { return };
        let block = Run { first: cache.base, pages: 1 };
        let retained = cache.free_pages() != cache.scavenged_pages();
        let shard = self.index.owner(cache.base.chunk());
        let mut heap = self.heaps[shard].lock();
        or_abort(heap.allocator.return_cache(cache));
        if retained {
            self.index.mark(block);
        }
        self.publish_retained(shard, &mut heap);
    }

    /// Gives the free pages of all page caches back to their page heaps.
    pub fn trim(&self) {
        for cache in &self.page_caches {
            let idle = {
                let mut cache = cache.lock();
                cache.cache.take()
            };
            self.return_page_cache(idle);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn cache(base: usize) -> PageCache {
        PageCache { base: Page(base), free: 1, scavenged: 0 }
    }

    #[test]
    fn the_blocks_taken_last_are_remembered_once_each() {
        let mut home = ShardPageCache::new();
        for block in 1..=BLOCKS {
            home.note(Page(64 * block));
            home.note(Page(64));
        }
        for (place, base) in home.blocks().into_iter().enumerate() {
            assert_eq!(base, Page(64 * (place + 1)));
        }
        // The oldest make room.
        home.note(Page(64 * 100));
        home.note(Page(64 * 101));
        let blocks = home.blocks();
        assert_eq!(blocks[..3], [Page(64 * 100), Page(64 * 101), Page(64 * 3)]);
        assert_eq!(blocks[BLOCKS - 1], Page(64 * BLOCKS));
        home.note(Page(64));
        assert_eq!(home.blocks()[2], Page(64));
    }

    #[test]
    fn the_block_before_is_the_callers() {
        let mut home = ShardPageCache::new();
        assert_eq!(home.replace(cache(64)), None);
        assert_eq!(home.replace(cache(128)), Some(cache(64)));
        assert_eq!(home.cache, Some(cache(128)));
        assert_eq!(home.blocks()[..3], [Page(64), Page(128), Page(0)]);
    }
}
