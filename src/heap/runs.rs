//! Runs of pages: taking them from the page caches or the heap, and giving them back.
//!
//! Short runs come from a page cache, a block of 64 pages taken from the heap in one go, so that most spans are made
//! without the heap lock. Each shard has a cache (see `home`; in a small heap several shards share one), and the scavenger's
//! tick returns them: they hide at most 512 KiB each, and not for long.
//!
//! Locks: page cache and heap, one after the other, never both.

use crate::pages::{CACHE_PAGES, CACHE_RUN_LIMIT, PageCache, Taken};
use crate::sync::Futex;
use crate::units::{PAGE_BYTES, Run};

use super::Heap;
use super::page_heap::{Grown, PageHeap, or_end};
use super::shards::SHARDS;

/// Out of memory, pages in flight are waited for so many times ...
const RECLAIM_TRIES: usize = if cfg!(loom) { 2 } else { 1000 };
/// ... so long. A batch in flight takes the kernel up to tens of milliseconds.
const RECLAIM_PAUSE_NS: u64 = 100_000;

/// Over how many page caches the threads of a heap with so much in use are spread: as many as could hold a quarter of
/// it. Each makes the heap's extent larger, which shows where the heap is small.
fn page_caches(in_use_bytes: usize) -> usize {
    (in_use_bytes / (4 * CACHE_PAGES * PAGE_BYTES)).clamp(1, SHARDS)
}

impl Heap {
    /// Takes `pages` pages at a multiple of `align_pages`; `None` if there is no memory.
    pub(crate) fn take_run(&self, pages: usize, align_pages: usize) -> Option<Taken> {
        self.or_reclaim(pages, || self.try_take_run(pages, align_pages))
    }

    /// Takes a run for a small span: in one region of the span map, from a page cache where it fits.
    pub(crate) fn take_span_run(&self, shard: usize, pages: usize, align_pages: usize) -> Option<Taken> {
        self.or_reclaim(pages, || self.try_take_span_run(shard, pages, align_pages))
    }

    /// Where the OS gives no more memory, the heap's own is looked for: what caches hold goes back, and pages that are being
    /// released are waited for. They are neither free nor in use, but they will be free in a moment.
    fn or_reclaim(&self, pages: usize, take: impl Fn() -> Option<Taken>) -> Option<Taken> {
        take().or_else(|| self.reclaim(pages, take))
    }

    #[cold]
    fn reclaim(&self, pages: usize, take: impl Fn() -> Option<Taken>) -> Option<Taken> {
        if pages > self.pages.lock().mapped_pages() {
            return None;
        }
        self.trim_caches(true);
        for _ in 0..RECLAIM_TRIES {
            // Looked at before the try: what lands after this look is found by the next.
            let in_flight = self.pages.lock().in_flight_pages != 0;
            let taken = take();
            if taken.is_some() || !in_flight {
                return taken;
            }
            Futex::new(0).wait(0, Some(RECLAIM_PAUSE_NS));
        }
        None
    }

    fn try_take_run(&self, pages: usize, align_pages: usize) -> Option<Taken> {
        let (taken, grown) = {
            let mut heap = self.pages.lock();
            let result = heap.take(&self.map, &self.index, pages, align_pages)?;
            self.publish_retained(&heap);
            result
        };
        self.counters.add_in_use(pages, taken.scavenged_pages);
        self.after_growth(grown);
        Some(taken)
    }

    fn try_take_span_run(&self, shard: usize, pages: usize, align_pages: usize) -> Option<Taken> {
        if pages >= CACHE_RUN_LIMIT || align_pages > 1 {
            let (taken, grown) = {
                let mut heap = self.pages.lock();
                let result = heap.take_in_region(&self.map, &self.index, pages, align_pages)?;
                self.publish_retained(&heap);
                result
            };
            self.counters.add_in_use(pages, taken.scavenged_pages);
            self.after_growth(grown);
            return Some(taken);
        }
        let cache = &self.page_caches[shard % page_caches(self.counters.in_use_bytes())];
        let blocks = {
            let mut home = cache.lock();
            let taken = home.cache.as_mut().and_then(|cache| cache.alloc(pages));
            if let Some(taken) = taken {
                drop(home);
                self.counters.add_in_use(pages, taken.scavenged_pages);
                return Some(taken);
            }
            home.blocks()
        };
        let (taken, left, grown) = {
            let mut heap = self.pages.lock();
            let own = blocks.into_iter().find_map(|base| heap.allocator.take_cache_at(base, CACHE_RUN_LIMIT));
            let mut block = own.or_else(|| heap.allocator.take_cache());
            let result = match block.as_mut().and_then(|block| block.alloc(pages)) {
                Some(taken) => (taken, block, Grown::default()),
                None => {
                    // The lowest block is too fragmented for this run: it goes back at once, rather than push out what
                    // the cache holds.
                    if let Some(block) = block {
                        or_end(heap.allocator.return_cache(block));
                        if block.free_pages() != block.scavenged_pages() {
                            self.index.mark(Run { first: block.base, pages: 1 });
                        }
                    }
                    let (taken, grown) = heap.take_in_region(&self.map, &self.index, pages, 1)?;
                    (taken, None, grown)
                }
            };
            self.publish_retained(&heap);
            result
        };
        self.counters.add_in_use(pages, taken.scavenged_pages);
        if let Some(left) = left.filter(|left| !left.is_empty()) {
            let before = cache.lock().replace(left);
            self.return_page_cache(before);
        }
        self.after_growth(grown);
        Some(taken)
    }

    /// Gives a block's pages back to the heap.
    pub(crate) fn return_page_cache(&self, cache: Option<PageCache>) {
        let Some(cache) = cache.filter(|cache| !cache.is_empty()) else { return };
        let block = Run { first: cache.base, pages: 1 };
        let retained = cache.free_pages() != cache.scavenged_pages();
        let mut heap = self.pages.lock();
        or_end(heap.allocator.return_cache(cache));
        if retained {
            self.index.mark(block);
        }
        self.publish_retained(&heap);
    }

    /// Under the heap lock, after a change: the level that frees and growth compare with.
    pub(super) fn publish_retained(&self, heap: &PageHeap) {
        self.counters.set_retained_pages(heap.allocator.free_pages() - heap.allocator.scavenged_pages());
    }

    /// After memory was freed, with no lock held: wakes the scavenger if it has work now.
    pub(crate) fn after_free(&self) {
        let (retained, slots) = self.levels();
        self.alarm.after_free(retained, slots);
    }

    /// Gives pages back. They are retained: whether they go to the OS is the scavenger's decision.
    pub(crate) fn free_run(&self, run: Run) {
        {
            let mut heap = self.pages.lock();
            or_end(heap.allocator.free(run));
            self.index.mark(run);
            self.publish_retained(&heap);
        }
        self.counters.subtract_in_use(run.pages);
        self.after_free();
    }

    /// Gives pages back whose memory the OS has already taken.
    pub(crate) fn free_released_run(&self, run: Run) {
        {
            let mut heap = self.pages.lock();
            or_end(heap.allocator.free_scavenged(run));
        }
        self.counters.subtract_in_use(run.pages);
    }

    /// Takes exactly the pages of `run`, if all of them are free.
    pub(crate) fn take_exact_run(&self, run: Run) -> Option<Taken> {
        let taken = {
            let mut heap = self.pages.lock();
            let taken = heap.allocator.alloc_exact(run)?;
            self.publish_retained(&heap);
            taken
        };
        self.counters.add_in_use(run.pages, taken.scavenged_pages);
        Some(taken)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn small_heaps_use_few_page_caches() {
        for (in_use_mib, caches) in [(0, 1), (1, 1), (3, 1), (4, 2), (7, 3), (15, 7), (16, 8), (4096, 8)] {
            assert_eq!(page_caches(in_use_mib << 20), caches, "{in_use_mib} MiB");
        }
    }
}
