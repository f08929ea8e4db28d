//! Runs of pages: takes them from page caches and page heaps, and gives them back.
//!
//! A short run for a small span comes from a page cache: a block of 64 pages that is taken from the page heap at once. So
//! most spans are made without the heap lock. Each shard has a page cache, but in a small heap several shards share one.
//! The scavenger's tick returns the pages of page caches, so each hides at most 512 KiB, and not for long.
//!
//! A request tries the shard's own page heap first, then what other page heaps can spare, and only then grows.
//!
//! Locks: page cache and heap, one after the other, never both.

use core::iter;

use crate::pages::{CACHE_RUN_LIMIT, Taken};
use crate::units::Run;

use super::PageHeaps;
use super::single::{MOST_CACHED_PAGES, PageHeap, Request, Tables, or_abort};

impl PageHeaps {
    /// The shard whose page heap serves the threads of `shard`.
    fn page_shard(&self, shard: usize, is_large: bool) -> usize {
        self.accounts.shards.page_shard(shard, self.accounts.counters.in_use_bytes(), is_large)
    }

    /// Takes `pages` pages for a large block, the first at a multiple of `align_pages`. `None` if the OS gives no more
    /// memory.
    pub fn take_run(&self, shard: usize, pages: usize, align_pages: usize) -> Option<Taken> {
        self.take_from_page_heaps(self.page_shard(shard, true), Request { pages, align_pages, in_region: false })
    }

    /// Takes a run for a small span, inside one region of the span map. A short run comes from a page cache. `None` if the
    /// OS gives no more memory.
    pub fn take_span_run(&self, shard: usize, pages: usize, align_pages: usize) -> Option<Taken> {
        let shard = self.page_shard(shard, false);
        let request = Request { pages, align_pages, in_region: true };
        if pages < CACHE_RUN_LIMIT && align_pages == 1 {
            self.take_from_page_cache(shard, request)
        } else {
            self.take_from_page_heaps(shard, request)
        }
    }

    /// Pages in flight in all page heaps, and how often pages went into flight.
    pub fn flights(&self) -> (usize, usize) {
        let sum = |all: (usize, usize), one: (usize, usize)| (all.0 + one.0, all.1.wrapping_add(one.1));
        self.page_heaps_in_use().map(|page_heap| page_heap.lock().flights()).fold((0, 0), sum)
    }

    /// Takes a run from the shard's own page heap, or from another page heap that can spare the run. Otherwise the own page
    /// heap grows, or any other page heap that can: if address space is short, one page heap may hold all of it.
    pub(super) fn take_from_page_heaps(&self, shard: usize, request: Request) -> Option<Taken> {
        self.take_from(shard, request)
            .or_else(|| {
                self.accounts.shards.others(shard).find_map(|other| self.take_from_other(shard, other, request))
            })
            .or_else(|| {
                iter::once(shard)
                    .chain(self.accounts.shards.others(shard))
                    .find_map(|shard| self.take_or_grow(shard, request))
            })
    }

    /// Takes a run from the page heap of shard `other`, for a thread of shard `own`.
    ///
    /// Pages for small objects come only out of the other page heap's excess. A large block may take more, because its
    /// fresh pages would cost more: the other page heap must go on retaining as much as the own page heap retains, or as
    /// much as processors' caches hold. If it gave away all its retained pages, it would have to grow for its own threads,
    /// and these threads would touch most of the fresh pages. A block larger than the caches comes from any free pages,
    /// retained or not.
    fn take_from_other(&self, own: usize, other: usize, request: Request) -> Option<Taken> {
        let retained = self.accounts.counters.shard_retained_pages(other);
        if request.in_region {
            if retained < request.pages {
                return None;
            }
            let epoch = self.accounts.epoch();
            return self.take_with(other, request, |page_heap| page_heap.take_excess(&self.index, request, epoch));
        }
        let own_retained = self.accounts.counters.shard_retained_pages(own).min(MOST_CACHED_PAGES);
        if request.pages < MOST_CACHED_PAGES && retained < request.pages + own_retained {
            return None;
        }
        self.take_from(other, request)
    }

    /// Takes a run from a shard's page heap. The page heap grows if no free run fits.
    pub(super) fn take_or_grow(&self, shard: usize, request: Request) -> Option<Taken> {
        let tables = Tables { span_map: &self.span_map, index: &self.index, limit: &self.limit, shard };
        let (taken, grown) = {
            let mut page_heap = self.page_heaps[shard].lock();
            let result = page_heap.take_or_grow(&tables, request);
            self.publish_retained(shard, &mut page_heap);
            if page_heap.arena.is_short() {
                self.accounts.shards.keep_one_page_heap();
            }
            result?
        };
        self.accounts.counters.add_in_use(request.pages, taken.scavenged_pages);
        self.after_growth(grown);
        Some(taken)
    }

    /// Takes a free run from a shard's page heap. `None` if no free run fits.
    pub(super) fn take_from(&self, shard: usize, request: Request) -> Option<Taken> {
        self.take_with(shard, request, |page_heap| page_heap.take(&self.index, request))
    }

    fn take_with(
        &self,
        shard: usize,
        request: Request,
        take: impl FnOnce(&mut PageHeap) -> Option<Taken>,
    ) -> Option<Taken> {
        let taken = {
            let mut page_heap = self.page_heaps[shard].lock();
            let taken = take(&mut page_heap);
            self.publish_retained(shard, &mut page_heap);
            taken?
        };
        self.accounts.counters.add_in_use(request.pages, taken.scavenged_pages);
        Some(taken)
    }

    /// Publishes the retained pages of a page heap: frees and growth compare with this level. Called under the heap lock,
    /// after a change.
    pub(super) fn publish_retained(&self, shard: usize, page_heap: &mut PageHeap) {
        self.accounts.counters.set_retained_pages(shard, page_heap.note_retained());
    }

    /// Gives pages back. The pages are retained. The scavenger decides when they go to the OS.
    pub fn free_run(&self, run: Run) {
        {
            let shard = self.index.owner(run.first.chunk());
            let mut page_heap = self.page_heaps[shard].lock();
            or_abort(page_heap.allocator.free(run));
            self.index.mark(run);
            self.publish_retained(shard, &mut page_heap);
        }
        self.accounts.counters.subtract_in_use(run.pages);
        self.accounts.after_free();
    }

    /// Gives pages back whose memory has gone to the OS already.
    pub fn free_released_run(&self, run: Run) {
        {
            let mut page_heap = self.page_heap_of(run.first.chunk()).lock();
            or_abort(page_heap.allocator.free_scavenged(run));
        }
        self.accounts.counters.subtract_in_use(run.pages);
    }

    /// Takes the `pages` pages that follow `run`, if all of them are free and belong to the same page heap: a large object
    /// belongs to the page heap of its first page.
    pub fn take_following(&self, run: Run, pages: usize) -> Option<Taken> {
        let taken = {
            let shard = self.index.owner(run.first.chunk());
            let mut page_heap = self.page_heaps[shard].lock();
            let taken = page_heap.allocator.alloc_exact(Run { first: run.end(), pages })?;
            self.publish_retained(shard, &mut page_heap);
            taken
        };
        self.accounts.counters.add_in_use(pages, taken.scavenged_pages);
        Some(taken)
    }
}
