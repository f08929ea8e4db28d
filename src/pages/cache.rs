//! A page cache: all free pages of one aligned block of 64, taken from the heap in one operation.
//!
//! The owner of the cache serves short runs from it without the heap lock. To the heap, pages in a cache are neither free
//! nor scavenged. Both bitmap words go back as they are, so the heap still knows which of the pages are released.
//!
//! Invariant: `scavenged` is a subset of `free`.
//! Locks: none for the cache, which belongs to its owner. To take it and to return it, the caller holds the heap lock.
#![forbid(unsafe_code)]

use crate::units::{Page, Run};

use super::allocator::{PageAllocator, Taken, check_run};
use super::fault::{Fault, FaultKind};
use super::word::{find_run, mask};

/// Pages in the block that a cache is taken from.
pub const CACHE_PAGES: usize = 64;

/// Callers ask a cache for runs that are shorter than this.
pub const CACHE_RUN_LIMIT: usize = CACHE_PAGES / 4;

/// Free pages of one aligned 64-page block, outside the heap's bookkeeping. All zero is an empty cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageCache {
    /// The block's first page, a multiple of [`CACHE_PAGES`].
    pub base: Page,
    /// The pages of the block that are in the cache.
    pub free: u64,
    /// The pages among `free` that are released.
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

impl PageAllocator {
    /// Takes all free pages of the aligned 64-page block that holds the lowest free page; `None` if no page is free.
    pub fn take_cache(&mut self) -> Option<PageCache> {
        let from = self.search.start(1)?;
        let table = self.table.as_deref_mut()?;
        let Some(first) = table.first_fit(from, 1, self.end) else {
            self.search.exhausted(1);
            return None;
        };
        let base = Page(first.0 / CACHE_PAGES * CACHE_PAGES);
        let cache = self.take_block(base)?;
        // No page is free any more between `first` and the end of its block.
        let taken = Run { first, pages: base.plus(CACHE_PAGES).0 - first.0 };
        self.search.block_taken(taken);
        self.keep_search_mapped(taken.end());
        Some(cache)
    }

    /// Takes all free pages of the aligned 64-page block at `base`, if at least `retained` of them are backed.
    pub fn take_cache_at(&mut self, base: Page, retained: usize) -> Option<PageCache> {
        let bits = self.bits(base.chunk())?;
        let word = base.index_in_chunk() / 64;
        let backed = bits.free[word] & !bits.scavenged[word];
        if (backed.count_ones() as usize) < retained { None } else { self.take_block(base) }
    }

    fn take_block(&mut self, base: Page) -> Option<PageCache> {
        let word = base.index_in_chunk() / 64;
        let cache = self.table.as_deref_mut()?.edit(base.chunk(), |bits| {
            let cache = PageCache { base, free: bits.free[word], scavenged: bits.scavenged[word] };
            bits.free[word] = 0;
            bits.scavenged[word] = 0;
            cache
        })?;
        self.free_pages -= cache.free_pages();
        self.scavenged_pages -= cache.scavenged_pages();
        Some(cache)
    }

    /// Takes the pages left in a cache back.
    ///
    /// # Errors
    /// If one of them is free already, or the block is not the heap's.
    pub fn return_cache(&mut self, cache: PageCache) -> Result<(), Fault> {
        if cache.is_empty() {
            return Ok(());
        }
        check_run(Run { first: cache.base, pages: CACHE_PAGES })?;
        if cache.base.0 % CACHE_PAGES != 0 {
            return Err(Fault::new(FaultKind::BadRun, cache.base));
        }
        let word = cache.base.index_in_chunk() / 64;
        let not_ours = Fault::new(FaultKind::NotMapped, cache.base);
        let table = self.table.as_deref_mut().ok_or(not_ours)?;
        let twice = table.bits(cache.base.chunk()).ok_or(not_ours)?.free[word] & cache.free;
        if twice != 0 {
            return Err(Fault::new(FaultKind::DoubleFree, cache.base.plus(twice.trailing_zeros() as usize)));
        }
        table.edit(cache.base.chunk(), |bits| {
            bits.free[word] |= cache.free;
            bits.scavenged[word] |= cache.scavenged & cache.free;
        });
        self.scavenged_pages += (cache.scavenged & cache.free).count_ones() as usize;
        let low = cache.free.trailing_zeros() as usize;
        let high = 64 - cache.free.leading_zeros() as usize;
        // A search address only has to be low enough. So the pages between the lowest and the highest that were not in the
        // cache do no harm.
        self.lower_search_addresses(Run { first: cache.base.plus(low), pages: high - low });
        self.free_pages += cache.free_pages();
        Ok(())
    }
}
