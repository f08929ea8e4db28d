//! fork in a multi-threaded process: no lock may be held by a thread that does not exist in the child.
//!
//! The handler before the fork takes every lock of the heap, outermost first; the parent and the child release them. In
//! the child the other threads' caches have no owner any more: they are emptied back into the spans, so nothing is lost but
//! what a thread held in its hands at that moment (at most two magazines, its cache if it was exiting, or the runs and
//! holes that it was releasing).
//! What is lost counts as in use.
//!
//! Locks: all of them.

use core::ops::Range;

pub use crate::lock::ForkLock;
use crate::pages::PageCache;
use crate::size_class::TABLE;
use crate::thread_cache::ThreadCache;
use crate::units::Chunk;

use super::Heap;

impl Heap {
    /// Calls `visit` with every lock below the registry's, outermost first: those of `shards` and those of the heap.
    ///
    /// The shards are those in use, read under the registry's lock: a thread that begins to use another one needs that
    /// lock, and would make a lock of ours out of one that was never taken.
    fn each_lock_below(&self, shards: Range<usize>, mut visit: impl FnMut(&dyn ForkLock)) {
        for depot in self.depots[shards.clone()].as_flattened() {
            visit(&**depot);
        }
        for central in self.centrals[shards].as_flattened() {
            visit(&**central);
        }
        for cache in &self.page_caches {
            visit(&**cache);
        }
        for heap in &self.pages[self.shards.all()] {
            visit(&**heap);
        }
        visit(&*self.scavenge);
        visit(self.metadata.lock_for_fork());
    }

    /// Before the fork. `own` is the forking thread's cache, which nobody drains from then on: the child would wait for a
    /// drainer that it does not have.
    pub fn prepare_fork(&self, own: Option<&ThreadCache>) {
        loop {
            if let Some(own) = own {
                // Waits for a drainer.
                own.enter_slow_path();
                own.leave_slow_path();
            }
            self.registry.take();
            self.each_lock_below(self.shards.all(), |lock| lock.take());
            // Caches are marked under the registry's lock.
            if !own.is_some_and(ThreadCache::is_marked) {
                return;
            }
            // SAFETY: taken above.
            self.release_all(|lock| unsafe { lock.release_in_parent() });
        }
    }

    /// Releases with `release` what [`Heap::prepare_fork`] took.
    fn release_all(&self, release: impl Fn(&dyn ForkLock)) {
        let shards = self.shards.all();
        release(&self.registry);
        self.each_lock_below(shards, release);
    }

    /// After the fork, in the parent.
    ///
    /// # Safety
    /// This thread called [`Heap::prepare_fork`].
    pub unsafe fn after_fork_in_parent(&self) {
        // SAFETY: the caller's contract.
        self.release_all(|lock| unsafe { lock.release_in_parent() });
    }

    /// After the fork, in the child. `own` is the forking thread's cache.
    ///
    /// # Safety
    /// This is the child's only thread, and it called [`Heap::prepare_fork`] before the fork.
    pub unsafe fn after_fork_in_child(&self, own: Option<&ThreadCache>) {
        // SAFETY: the caller's contract.
        self.release_all(|lock| unsafe { lock.release_in_child() });
        self.recount_in_child();
        // There is no scavenger any more, and nobody to act on the levels that it published.
        self.alarm.reset_in_child(self.counters.in_use_bytes() as u64);
        self.recount_to_split_in_child();
        self.adopt_orphans(own.map_or(core::ptr::null(), core::ptr::from_ref));
    }

    /// Other threads were between a lock and its counter, or held pages that nobody will bring back. This thread, the only
    /// one, holds nothing: whatever is neither free nor cached counts as in use. A chunk that a scavenger had claimed and
    /// not searched is marked again.
    fn recount_in_child(&self) {
        let mut cached = 0;
        for cache in &self.page_caches {
            cached += cache.lock().cache.as_ref().map_or(0, PageCache::free_pages);
        }
        let mut in_use = 0;
        for (shard, heap) in self.pages[self.shards.all()].iter().enumerate() {
            let mut heap = heap.lock();
            heap.in_flight_pages = 0;
            self.publish_retained(shard, &heap);
            for range in heap.allocator.mapped_ranges() {
                for chunk in (range.first.0..range.first.0 + range.chunks).map(Chunk) {
                    if heap.allocator.chunk_retained(chunk) != 0 {
                        self.index.mark_chunk(chunk);
                    }
                }
            }
            in_use += heap.mapped_pages() - heap.allocator.free_pages();
        }
        self.counters.set_in_child(in_use - cached);
        for shard in self.shards.all() {
            let (mut free_slot_bytes, mut depot_bytes) = (0, 0);
            for (class, figures) in TABLE.iter().enumerate() {
                free_slot_bytes += self.centrals[shard][class].lock().free_slots() * figures.slot_bytes as usize;
                let full = self.depots[shard][class].lock().full_count() as usize;
                depot_bytes += full * crate::depot::magazine_bytes(class);
            }
            self.counters.set_shard_in_child(shard, free_slot_bytes, depot_bytes);
        }
    }

    /// Empties the caches of threads that do not exist.
    fn adopt_orphans(&self, own: *const ThreadCache) {
        loop {
            let orphan = {
                let mut registry = self.registry.lock();
                let orphan = registry.iter().find(|cache| !core::ptr::eq(*cache, own)).map(core::ptr::NonNull::from);
                if let Some(orphan) = orphan {
                    // SAFETY: registered, and without an owner or a drainer: this is the only thread.
                    unsafe { registry.remove(orphan) };
                }
                orphan
            };
            let Some(orphan) = orphan else { return };
            // SAFETY: removed just now: nobody else knows it.
            unsafe {
                self.empty_cache(orphan.as_ref());
                self.registry.lock().recycle(orphan);
            }
        }
    }
}
