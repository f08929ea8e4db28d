//! A shard's home: the page cache that its spans' pages come from, and the blocks that it took pages from before.
//!
//! Pages that a shard's threads wrote to last are in their processors' caches. So the next block is one of the shard's
//! own, if one has enough pages back by then, and only else the lowest of the heap. Where a cache line takes 180 ns from one
//! core to the other, a parallel compiler's load took so much less time: see ARCHITECTURE.md.
//!
//! Locks: page cache, around the whole.

use crate::pages::PageCache;
use crate::units::Page;

/// Blocks that are remembered.
pub const BLOCKS: usize = if cfg!(loom) { 1 } else { 32 };

/// See the module's header.
pub struct ShardPageCache {
    /// What is left of the block in use.
    pub current: Option<PageCache>,
    /// The blocks taken last, in a ring.
    recent: [Page; BLOCKS],
    next: usize,
}

impl ShardPageCache {
    /// No pages, no blocks.
    pub const fn new() -> Self {
        Self { current: None, recent: [Page(0); BLOCKS], next: 0 }
    }

    /// The first pages of the blocks taken before; page 0 stands for none.
    pub fn recent(&self) -> [Page; BLOCKS] {
        self.recent
    }

    /// Begins to use a block; what was left of the one before is the caller's.
    pub fn replace(&mut self, cache: PageCache) -> Option<PageCache> {
        self.note(cache.base);
        self.current.replace(cache)
    }

    /// Notes that pages were taken from the block at `base`.
    pub fn note(&mut self, base: Page) {
        if !self.recent.contains(&base) {
            self.recent[self.next] = base;
            self.next = (self.next + 1) % BLOCKS;
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
        for block in 1..=BLOCKS {
            shard_cache.note(Page(64 * block));
            shard_cache.note(Page(64));
        }
        for (place, base) in shard_cache.recent().into_iter().enumerate() {
            assert_eq!(base, Page(64 * (place + 1)));
        }
        // The oldest make room.
        shard_cache.note(Page(64 * 100));
        shard_cache.note(Page(64 * 101));
        let blocks = shard_cache.recent();
        assert_eq!(blocks[..3], [Page(64 * 100), Page(64 * 101), Page(64 * 3)]);
        assert_eq!(blocks[BLOCKS - 1], Page(64 * BLOCKS));
        shard_cache.note(Page(64));
        assert_eq!(shard_cache.recent()[2], Page(64));
    }

    #[test]
    fn the_block_before_is_the_callers() {
        let mut shard_cache = ShardPageCache::new();
        assert_eq!(shard_cache.replace(cache(64)), None);
        assert_eq!(shard_cache.replace(cache(128)), Some(cache(64)));
        assert_eq!(shard_cache.current, Some(cache(128)));
        assert_eq!(shard_cache.recent()[..3], [Page(64), Page(128), Page(0)]);
    }
}
