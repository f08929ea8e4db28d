//! A page cache: the free pages of one aligned block of 64, taken from the heap in one go.
//!
//! Its owner serves short runs from it without the heap lock; to the heap the pages are neither free nor scavenged while
//! they are here. The two words go back as they are, so that released pages stay known as released.
//!
//! Invariant: `scavenged` is a subset of `free`.
//! Locks: none; the cache belongs to its owner.
#![forbid(unsafe_code)]

use crate::units::{Page, Run};

use super::allocator::Taken;
use super::word::{find_run, mask};

/// Pages in the block that a cache is taken from.
pub const CACHE_PAGES: usize = 64;

/// Runs shorter than this are worth asking a cache for.
pub const CACHE_RUN_LIMIT: usize = CACHE_PAGES / 4;

/// Free pages of one aligned 64-page block, outside the heap's bookkeeping. All zero is an empty cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageCache {
    /// The block's first page, a multiple of [`CACHE_PAGES`].
    pub base: Page,
    /// The pages of the block that are in the cache.
    pub free: u64,
    /// Those of them that are released.
    pub scavenged: u64,
}

impl PageCache {
    /// A cache without pages.
    pub const EMPTY: Self = Self { base: Page(0), free: 0, scavenged: 0 };

    /// Whether no page is left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.free == 0
    }

    /// How many pages are left.
    #[inline]
    pub const fn free_pages(&self) -> usize {
        self.free.count_ones() as usize
    }

    /// How many of the pages left are released.
    #[inline]
    pub const fn scavenged_pages(&self) -> usize {
        self.scavenged.count_ones() as usize
    }

    /// Takes the lowest run of `pages`; `None` if there is none, or if `pages` is zero or above [`CACHE_PAGES`].
    #[inline]
    pub const fn alloc(&mut self, pages: usize) -> Option<Taken> {
        if pages == 0 || pages > CACHE_PAGES {
            return None;
        }
        let Some(at) = find_run(self.free, pages) else {
            return None;
        };
        let mask = mask(at, pages);
        let scavenged_pages = (self.scavenged & mask).count_ones() as usize;
        self.free &= !mask;
        self.scavenged &= !mask;
        Some(Taken { run: Run { first: self.base.plus(at), pages }, scavenged_pages })
    }
}

impl Default for PageCache {
    fn default() -> Self {
        Self::EMPTY
    }
}
