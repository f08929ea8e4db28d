//! A shard's page cache: a block that the pages of its spans come from, and the blocks that it used before.
//!
//! The pages that a shard's threads wrote to last are in the caches of their processors. So the next block is a block that
//! the shard used before, if enough of its pages are free again and retained. Otherwise the next block is the lowest block
//! of the page heap.
//!
//! Locks: the caller holds the page cache's lock around each function.

use crate::pages::PageCache;
use crate::units::Page;

/// How many used blocks are remembered.
pub const RECENT_BLOCKS: usize = if cfg!(loom) { 1 } else { 32 };

/// A shard's page cache.
pub struct ShardPageCache {
    /// The pages left of the block in use.
    pub current: Option<PageCache>,
    /// The first pages of the blocks used last, as a ring. Page 0 stands for no block.
    recent: [Page; RECENT_BLOCKS],
    /// The place in the ring that the next new block takes.
    next: usize,
}

impl ShardPageCache {
    /// No pages, no blocks.
    pub const fn new() -> Self {
        Self { current: None, recent: [Page(0); RECENT_BLOCKS], next: 0 }
    }

    /// The first pages of the blocks used last. Page 0 stands for no block.
    pub fn recent(&self) -> [Page; RECENT_BLOCKS] {
        self.recent
    }

    /// Begins to use a block. Returns the pages left of the block before.
    pub fn replace(&mut self, cache: PageCache) -> Option<PageCache> {
        self.note(cache.base);
        self.current.replace(cache)
    }

    /// Remembers the block at `base`.
    pub fn note(&mut self, base: Page) {
        if !self.recent.contains(&base) {
            self.recent[self.next] = base;
            self.next = (self.next + 1) % RECENT_BLOCKS;
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
        let mut shard_cache = ShardPageCache::new();
        for block in 1..=RECENT_BLOCKS {
            shard_cache.note(Page(64 * block));
            shard_cache.note(Page(64));
        }
        for (place, base) in shard_cache.recent().into_iter().enumerate() {
            assert_eq!(base, Page(64 * (place + 1)));
        }
        // The oldest blocks make room.
        shard_cache.note(Page(64 * 100));
        shard_cache.note(Page(64 * 101));
        let blocks = shard_cache.recent();
        assert_eq!(blocks[..3], [Page(64 * 100), Page(64 * 101), Page(64 * 3)]);
        assert_eq!(blocks[RECENT_BLOCKS - 1], Page(64 * RECENT_BLOCKS));
        shard_cache.note(Page(64));
        assert_eq!(shard_cache.recent()[2], Page(64));
    }

    #[test]
    fn the_pages_left_of_the_block_before_go_to_the_caller() {
        let mut shard_cache = ShardPageCache::new();
        assert_eq!(shard_cache.replace(cache(64)), None);
        assert_eq!(shard_cache.replace(cache(128)), Some(cache(64)));
        assert_eq!(shard_cache.current, Some(cache(128)));
        assert_eq!(shard_cache.recent()[..3], [Page(64), Page(128), Page(0)]);
    }
}
