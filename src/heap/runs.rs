//! Runs of pages: taking them from the page caches or the heap, and giving them back.
//!
//! Short runs come from a page cache, a block of 64 pages taken from the heap in one go, so that most spans are made
//! without the heap lock. Each shard has a cache (see `home`; in a small heap several shards share one), and the scavenger's
//! tick returns them: they hide at most 512 KiB each, and not for long.
//!
//! Locks: page cache and heap, one after the other, never both.

use core::iter;

use crate::lock::Futex;
use crate::pages::{CACHE_RUN_LIMIT, PageCache, Taken};
use crate::units::Run;

use super::Heap;
use super::page_heap::{MOST_CACHED_PAGES, PageHeap, Tables, Want, or_abort};

/// Out of memory, pages in flight are waited for so many times ...
const RECLAIM_TRIES: usize = if cfg!(loom) { 2 } else { 1000 };
/// ... so long. A batch in flight takes the kernel up to tens of milliseconds.
const RECLAIM_PAUSE_NS: u64 = 100_000;

impl Heap {
    /// The shard whose page heap a shard's threads go to. Spreads the threads over more shards where there is enough in use
    /// for them.
    fn page_shard(&self, shard: usize, is_large: bool) -> usize {
        let in_use_bytes = self.counters.in_use_bytes();
        if self.shards.wants_more(in_use_bytes) {
            let _registry = self.registry.lock();
            // Another thread may have been faster.
            if self.shards.wants_more(in_use_bytes) {
                self.shards.double();
            }
        }
        self.shards.page_heap_of(shard, in_use_bytes, is_large)
    }

    /// Takes `pages` pages for a large block, at a multiple of `align_pages`; `None` if there is no memory.
    pub(crate) fn take_run(&self, shard: usize, pages: usize, align_pages: usize) -> Option<Taken> {
        let shard = self.page_shard(shard, true);
        let want = Want { pages, align_pages, in_region: false };
        self.or_reclaim(pages, || self.take_from_heaps(shard, want))
    }

    /// Takes a run for a small span: in one region of the span map, from a page cache where it fits. Where the OS gives no more
    /// memory, what caches and flights hold is looked for if the caller asks to `reclaim` it.
    pub(crate) fn take_span_run(&self, shard: usize, pages: usize, align_pages: usize, reclaim: bool) -> Option<Taken> {
        let shard = self.page_shard(shard, false);
        let want = Want { pages, align_pages, in_region: true };
        let is_short = pages < CACHE_RUN_LIMIT && align_pages == 1;
        let take = || if is_short { self.take_by_cache(shard, want) } else { self.take_from_heaps(shard, want) };
        if reclaim { self.or_reclaim(pages, take) } else { take() }
    }

    /// Where the OS gives no more memory, the heap's own is looked for: what caches hold goes back, and pages that are being
    /// released are waited for. They are neither free nor in use, but they will be free in a moment.
    fn or_reclaim(&self, pages: usize, take: impl Fn() -> Option<Taken>) -> Option<Taken> {
        take().or_else(|| self.reclaim(pages, take))
    }

    #[cold]
    fn reclaim(&self, pages: usize, take: impl Fn() -> Option<Taken>) -> Option<Taken> {
        if pages > self.page_heaps().map(|heap| heap.lock().mapped_pages()).sum() {
            return None;
        }
        self.trim_caches(true);
        for _ in 0..RECLAIM_TRIES {
            // Looked at before and after the try, which misses what is in flight meanwhile; what has landed is found by the next.
            let before = self.flights();
            let taken = take();
            if taken.is_some() || (before.0 == 0 && before == self.flights()) {
                return taken;
            }
            Futex::new(0).wait(0, Some(RECLAIM_PAUSE_NS));
        }
        None
    }

    /// Pages in flight in all page heaps, and how often some have gone.
    fn flights(&self) -> (usize, usize) {
        let sum = |all: (usize, usize), one: (usize, usize)| (all.0 + one.0, all.1.wrapping_add(one.1));
        self.page_heaps().map(|heap| heap.lock().flights()).fold((0, 0), sum)
    }

    /// Takes a run from the shard's own page heap; else from another, if that has one to spare; else the own heap grows,
    /// or any other that still can: where address space is short it was reserved for one of them.
    fn take_from_heaps(&self, shard: usize, want: Want) -> Option<Taken> {
        self.take_from(shard, want)
            .or_else(|| self.shards.others(shard).find_map(|other| self.take_from_other(shard, other, want)))
            .or_else(|| {
                iter::once(shard).chain(self.shards.others(shard)).find_map(|shard| self.take_or_grow(shard, want))
            })
    }

    /// Takes a run from the page heap of another shard than the thread's: pages for small objects only if that does not need
    /// them; for a large block, whose fresh pages would cost more, if that retains so much more than the own does, or than caches
    /// hold. Where threads took all that the first page heap retained, that had to grow for its own, and its threads touched most
    /// fresh pages. What is larger than caches may be all address space, which counts nowhere.
    fn take_from_other(&self, own: usize, other: usize, want: Want) -> Option<Taken> {
        let retained = self.counters.shard_retained_pages(other);
        if want.in_region {
            if retained < want.pages {
                return None;
            }
            let epoch = self.epoch();
            return self.take_by(other, want, |heap| heap.take_excess(&self.index, want, epoch));
        }
        let own_retained = self.counters.shard_retained_pages(own).min(MOST_CACHED_PAGES);
        if want.pages < MOST_CACHED_PAGES && retained < want.pages + own_retained {
            return None;
        }
        self.take_from(other, want)
    }

    /// Takes a run from a shard's page heap, which grows if it must.
    fn take_or_grow(&self, shard: usize, want: Want) -> Option<Taken> {
        let tables = Tables { map: &self.map, index: &self.index, limit: &self.limit, shard };
        let (taken, grown) = {
            let mut heap = self.pages[shard].lock();
            let result = heap.take_or_grow(&tables, want);
            self.publish_retained(shard, &mut heap);
            if heap.arena.is_short() {
                self.shards.keep_one_page_heap();
            }
            result?
        };
        self.counters.add_in_use(want.pages, taken.scavenged_pages);
        self.after_growth(grown);
        Some(taken)
    }

    /// Takes a run of what a shard's page heap has.
    fn take_from(&self, shard: usize, want: Want) -> Option<Taken> {
        self.take_by(shard, want, |heap| heap.take(&self.index, want))
    }

    fn take_by(&self, shard: usize, want: Want, take: impl FnOnce(&mut PageHeap) -> Option<Taken>) -> Option<Taken> {
        let taken = {
            let mut heap = self.pages[shard].lock();
            let taken = take(&mut heap);
            self.publish_retained(shard, &mut heap);
            taken?
        };
        self.counters.add_in_use(want.pages, taken.scavenged_pages);
        Some(taken)
    }

    /// Takes a short run from the shard's page cache, which gets a new block if it must.
    fn take_by_cache(&self, shard: usize, want: Want) -> Option<Taken> {
        let cache = &self.page_caches[shard];
        let blocks = {
            let mut home = cache.lock();
            let taken = home.cache.as_mut().and_then(|cache| cache.alloc(want.pages));
            if let Some(taken) = taken {
                drop(home);
                self.counters.add_in_use(want.pages, taken.scavenged_pages);
                return Some(taken);
            }
            home.blocks()
        };
        let block = {
            let mut heap = self.pages[shard].lock();
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
        self.counters.add_in_use(want.pages, taken.scavenged_pages);
        if !block.is_empty() {
            let before = cache.lock().replace(block);
            self.return_page_cache(before);
        }
        Some(taken)
    }

    /// Gives a block's pages back to the heap.
    pub(crate) fn return_page_cache(&self, cache: Option<PageCache>) {
        let Some(cache) = cache.filter(|cache| !cache.is_empty()) else { return };
        let block = Run { first: cache.base, pages: 1 };
        let retained = cache.free_pages() != cache.scavenged_pages();
        let shard = self.index.owner(cache.base.chunk());
        let mut heap = self.pages[shard].lock();
        or_abort(heap.allocator.return_cache(cache));
        if retained {
            self.index.mark(block);
        }
        self.publish_retained(shard, &mut heap);
    }

    /// Under the heap lock, after a change: the level that frees and growth compare with.
    pub(super) fn publish_retained(&self, shard: usize, heap: &mut PageHeap) {
        self.counters.set_retained_pages(shard, heap.note_retained());
    }

    /// After memory was freed, with no lock held: wakes the scavenger if it has work now.
    pub(crate) fn after_free(&self) {
        let (retained, slots) = self.levels();
        self.wakeup.after_free(retained, slots);
    }

    /// Gives pages back. They are retained: whether they go to the OS is the scavenger's decision.
    pub(crate) fn free_run(&self, run: Run) {
        {
            let shard = self.index.owner(run.first.chunk());
            let mut heap = self.pages[shard].lock();
            or_abort(heap.allocator.free(run));
            self.index.mark(run);
            self.publish_retained(shard, &mut heap);
        }
        self.counters.subtract_in_use(run.pages);
        self.after_free();
    }

    /// Gives pages back whose memory the OS has already taken.
    pub(crate) fn free_released_run(&self, run: Run) {
        {
            let mut heap = self.page_heap_of(run.first.chunk()).lock();
            or_abort(heap.allocator.free_scavenged(run));
        }
        self.counters.subtract_in_use(run.pages);
    }

    /// Takes the `pages` pages that follow `run`, if all of them are free and of the same page heap: the heap of a large object
    /// is that of its first page.
    pub(crate) fn take_following(&self, run: Run, pages: usize) -> Option<Taken> {
        let taken = {
            let shard = self.index.owner(run.first.chunk());
            let mut heap = self.pages[shard].lock();
            let taken = heap.allocator.alloc_exact(Run { first: run.end(), pages })?;
            self.publish_retained(shard, &mut heap);
            taken
        };
        self.counters.add_in_use(pages, taken.scavenged_pages);
        Some(taken)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::magazine::Magazine;
    use crate::thread_cache::ThreadCache;
    use crate::units::CHUNK_PAGES;
    use core::ptr::NonNull;
    use std::boxed::Box;

    fn heap_of_two_shards() -> &'static Heap {
        let sentinel = Box::leak(Box::new(Magazine::null()));
        let sentinel_cache = NonNull::from(Box::leak(Box::new(ThreadCache::new(sentinel.last()))));
        let heap = Box::leak(Box::new(Heap::new()));
        // SAFETY: once, by one thread; the cache and its sentinel stay.
        assert!(unsafe { heap.initialize(sentinel_cache, sentinel.last()) });
        heap.shards.double();
        heap
    }

    #[test]
    fn pages_for_small_objects_come_from_another_page_heap_only_if_that_does_not_need_them() {
        let heap = heap_of_two_shards();
        let owner = |taken: Taken| heap.index.owner(taken.run.first.chunk());
        let want = Want { pages: 8, align_pages: 1, in_region: true };
        let taken = heap.take_from_heaps(0, want).unwrap();
        assert_eq!(owner(taken), 0);
        heap.free_run(taken.run);
        assert_eq!(owner(heap.take_from_heaps(1, want).unwrap()), 1, "just freed");
        let rest = Want { pages: CHUNK_PAGES - want.pages, align_pages: 1, in_region: false };
        assert!(heap.take_from(1, rest).is_some() && heap.take_from(1, want).is_none());
        // As if others had looked in the next epochs.
        let epoch = heap.epoch();
        for later in 1..3 {
            heap.pages[0].lock().excess_pages(epoch.wrapping_add(later));
        }
        assert_eq!(owner(heap.take_from_heaps(1, want).unwrap()), 0, "not needed for a epoch");
        assert_eq!(owner(heap.take_from_heaps(1, want).unwrap()), 1, "the rest was never backed");
        heap.free_run(taken.run);
        assert!(heap.take_from(1, rest).is_some());
        assert_eq!(
            owner(heap.take_from_heaps(1, Want { in_region: false, ..want }).unwrap()),
            0,
            "a large block takes it"
        );
    }

    #[test]
    fn a_large_block_comes_from_another_page_heap_if_that_retains_so_much_more_than_the_own() {
        let heap = heap_of_two_shards();
        let owner = |taken: Taken| heap.index.owner(taken.run.first.chunk());
        let want = |pages| Want { pages, align_pages: 1, in_region: false };
        let [run, own] =
            [(0, 64), (1, CHUNK_PAGES)].map(|(shard, pages)| heap.take_or_grow(shard, want(pages)).unwrap().run);
        heap.free_run(run);
        heap.free_run(Run { pages: 2, ..own });
        assert_eq!(owner(heap.take_from_heaps(1, want(63)).unwrap()), 1, "less than 63 pages more: the own one grows");
        assert!(heap.take_from(1, want(CHUNK_PAGES - 63)).is_some() && heap.take_from(1, want(62)).is_none());
        let taken = heap.take_from_heaps(1, want(62)).unwrap();
        assert_eq!((owner(taken), taken.scavenged_pages), (0, 0), "62 pages more");
    }

    #[test]
    fn slots_come_from_another_shard_only_if_that_does_not_need_them() {
        let heap = heap_of_two_shards();
        let class = crate::size_class::class_of(1024, 8).unwrap();
        let places = [const { crate::magazine::Word::new(0) }; 4];
        let shard_of = |places: &[crate::magazine::Word]| {
            let slot = places[places.len() - 1].load(crate::sync::atomic::Ordering::Relaxed);
            heap.map.small_span(slot, class).unwrap().0.shard()
        };
        assert_eq!((heap.refill(class, 0, &places), shard_of(&places)), (4, 0));
        assert_eq!((heap.refill(class, 1, &places), shard_of(&places)), (4, 1), "made just now");
        while heap.take_slots(class, 1, &places) != 0 {}
        let epoch = heap.epoch();
        for later in 1..3 {
            heap.centrals[0][class].lock().has_excess(class, epoch.wrapping_add(later));
        }
        assert_eq!((heap.refill(class, 1, &places), shard_of(&places)), (4, 0), "not needed for a epoch");
    }

    #[test]
    fn a_large_object_does_not_grow_into_another_page_heap() {
        let heap = heap_of_two_shards();
        let want = Want { pages: CHUNK_PAGES, align_pages: 1, in_region: false };
        heap.take_or_grow(1, want).unwrap();
        let object = heap.allocate_large(0, want.pages * crate::units::PAGE_BYTES, 1).unwrap().base;
        // The other page heap's next chunk follows the object.
        let next =
            Run { first: crate::units::Page::containing(object.addr().get()).plus(CHUNK_PAGES), pages: CHUNK_PAGES };
        assert!(heap.index.prepare(next.first.chunk().root()));
        heap.index.set_owner(next, 1);
        {
            let mut pages = heap.pages[1].lock();
            let root = next.first.chunk().root();
            if !pages.allocator.has_root(root) {
                let memory = crate::sys::vm::map_metadata(size_of::<crate::pages::Root>()).unwrap();
                // SAFETY: fresh zeroed memory that is never unmapped; all-zero bytes are a valid root.
                pages.allocator.add_root(root, unsafe { memory.cast().as_mut() }).unwrap();
            }
            pages.allocator.grow(next).unwrap();
        }
        assert!(!heap.resize_large(object, (CHUNK_PAGES + 1) * crate::units::PAGE_BYTES));
        heap.deallocate_large(object);
    }
}
