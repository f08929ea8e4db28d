//! fork in a multi-threaded process: no lock may be held by a thread that does not exist in the child.
//!
//! The handler before the fork takes every lock of the heap, outermost first; the parent and the child release them. In
//! the child the other threads' caches have no owner any more: they are emptied back into the spans, so nothing is lost but
//! what a thread held in its hands at that moment (at most two magazines, its cache if it was exiting, or the runs and
//! holes that it was releasing).
//! What is lost counts as in use.
//!
//! **A fork in a signal handler** may have interrupted its own thread anywhere in here. What that thread holds it goes on
//! using when the handler returns, in the parent and in the child: such a lock (one at most, since no two nest) stays as it
//! is, and with it whatever it protects; the others are taken as ever. Two more things follow. First, the handler cannot
//! give that lock up, so no thread may wait for it with another in its hands: a fork handler that cannot get a lock for
//! a while gives all back and begins again. Nor does one wait for whoever drains its thread's cache, who may want that
//! lock, or be this very thread; the child forgets him. Second, the books are open while a slow path is under way: the child settles them when it
//! is over ([`Heap::settle_in_child`]).
//!
//! Locks: all of them.

use core::ops::Range;

pub use crate::lock::ForkLock;
use crate::lock::Hold;
use crate::pages::PageCache;
use crate::size_class::TABLE;
use crate::thread_cache::{CacheSlot, ThreadCache};
use crate::units::Chunk;

use super::Heap;

impl Heap {
    /// Calls `visit` with every lock, outermost first: the registry's, then those of `shards` and those of the heap.
    ///
    /// The shards are those in use. They change under the registry's lock: so they are asked for once that is taken, and
    /// before it is released. A lock of a shard that came into use in between was never taken.
    fn each_lock<'a>(&'a self, shards: impl FnOnce() -> Range<usize>, mut visit: impl FnMut(&'a dyn ForkLock)) {
        visit(&self.registry);
        let shards = shards();
        for depot in self.depots[shards.clone()].as_flattened() {
            visit(&**depot);
        }
        for central in self.centrals[shards.clone()].as_flattened() {
            visit(&**central);
        }
        for cache in &self.page_caches {
            visit(&**cache);
        }
        for heap in &self.pages[shards] {
            visit(&**heap);
        }
        visit(&*self.scavenge);
        visit(self.metadata.lock_for_fork());
    }

    /// Before the fork: takes every lock, or none.
    ///
    /// # Errors
    /// The lock that is in the way: to be waited for with nothing held, before another try.
    pub fn prepare_fork(&self) -> Result<(), &dyn ForkLock> {
        let mut stuck = None;
        self.each_lock(
            || self.shards.all(),
            |lock| {
                if stuck.is_none() && lock.take() == Hold::Stuck {
                    stuck = Some(lock);
                }
            },
        );
        let Some(stuck) = stuck else { return Ok(()) };
        self.after_fork_in_parent();
        Err(stuck)
    }

    /// After the fork, in the parent: gives back what [`Heap::prepare_fork`] took on this thread.
    pub fn after_fork_in_parent(&self) {
        let shards = self.shards.all();
        self.each_lock(|| shards, |lock| lock.release_in_parent());
    }

    /// After the fork, in the child. `slot` is the forking thread's.
    ///
    /// # Safety
    /// This is the child's only thread, and it called [`Heap::prepare_fork`] before the fork.
    pub unsafe fn after_fork_in_child(&self, slot: &CacheSlot, own: Option<&ThreadCache>) {
        let shards = self.shards.all();
        // SAFETY: the caller's contract.
        self.each_lock(|| shards, |lock| unsafe { lock.release_in_child() });
        if let Some(own) = own {
            // SAFETY: as above; the thread's own words.
            unsafe { own.forget_drainer(slot) };
        }
        // There is no scavenger any more, and nobody to act on the levels that it published.
        self.wakeup.begin(self.counters.in_use_bytes() as u64);
    }

    /// In the child, once its thread is in no slow path: makes the books true and takes over what the other threads left.
    /// `own` is the thread's cache.
    ///
    /// # Safety
    /// [`Heap::after_fork_in_child`] ran, and this is still the child's only thread.
    pub unsafe fn settle_in_child(&self, own: Option<&ThreadCache>) {
        self.recount_in_child();
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
            self.publish_retained(shard, &mut heap);
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
            for (class, info) in TABLE.iter().enumerate() {
                free_slot_bytes += self.centrals[shard][class].lock().free_slots() * info.slot_bytes as usize;
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
