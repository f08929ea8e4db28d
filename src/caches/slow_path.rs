//! The slow paths of the thread cache: what happens when a loaded magazine is empty or full, how a thread gets its cache
//! and how it gives it back.
//!
//! Allocation: swap in the spare magazine; else trade an empty magazine for a full one at the shard's depot; else refill from
//! its central, or from what other shards have. A free does the same the other way round. The spare keeps a thread that
//! allocates and frees around a magazine's edge from trading each time.
//!
//! **C's frees of small objects go onto the spare magazine** (`size_class::is_split`), so that an allocation does not take
//! what was freed last: it would have to wait for the free's stores, a chain through all pairs of the two in a loop. So
//! mimalloc's pages have a list for frees and one for allocations (Leijen, Zorn and de Moura, "Mimalloc: Free List Sharding in
//! Action", 2019). The two magazines change places when the loaded one is empty, without a lock and outside all books, if
//! there is enough in the spare; with less in it, the loaded one gets so much that they have a magazine full together.
//! Rust's frees go onto the loaded magazine in all classes: programs that do more with an object than make and drop it
//! gain by having the one back that they used last (a request server, 3 to 8 per cent).
//!
//! Invariant: at every moment a magazine, and a slot, can be reached in at most one place: cache, depot or span. The child
//! of a fork finds other threads' caches stopped anywhere in here and empties them; what was in a thread's hands is
//! lost to it, but nothing is there twice. So a magazine leaves its cell before it goes elsewhere, or is filled in it under a top that
//! says empty; stores to cells are Release, which keeps them in this order.
//!
//! Orderings: Relaxed loads of what only the owner changes while it is in here; a drainer's changes came with the Acquire in
//! `enter_slow_path`. The Release of the owner's stores pairs with `take_idle` and `leave_slow_path` (models: `drain.rs`).
//!
//! Locks: depot, central, heap, metadata, one at a time. While a thread is in here, drainers leave its cache alone.

use core::ptr::{NonNull, null_mut};

use crate::size_class::{info, is_split};
use crate::sync::atomic::{AtomicPtr, Ordering};

use super::Caches;
use super::magazine::{self, MagazineRef, Word};
use super::spare::{is_loaded, load_spare, pop_loaded};
use super::thread_cache::ThreadCache;

/// How a free knows its object, and so onto which magazine it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Free {
    /// By its layout: onto the loaded magazine.
    ByLayout,
    /// By its address: onto the spare in classes that are split ([`is_split`]).
    ByAddress,
}

impl Caches {
    /// Allocates a slot of a class when the loaded magazine has none; null if the OS gives no more memory. `cache` is the calling
    /// thread's; a thread without one takes a slot from central.
    pub fn allocate(&self, cache: Option<&ThreadCache>, class: usize) -> *mut u8 {
        let Some(cache) = cache else { return self.centrals.allocate_directly(class) };
        cache.enter_slow_path();
        let result = self.load_for_allocation(cache, class);
        cache.leave_slow_path();
        result
    }

    /// Frees a slot of a class when the magazine that it goes onto is full. `cache` is the calling thread's; a thread without
    /// one gives the slot to central.
    ///
    /// # Safety
    /// The slot is the caller's and of that class.
    pub unsafe fn deallocate(&self, cache: Option<&ThreadCache>, class: usize, object: NonNull<u8>, free: Free) {
        let Some(cache) = cache else { return self.centrals.deallocate_directly(class, object) };
        cache.enter_slow_path();
        self.load_for_free(cache, class, object.as_ptr().expose_provenance(), free);
        cache.leave_slow_path();
    }

    /// Fills the loaded magazine and takes a slot from it. Runs in the owner's slow path.
    fn load_for_allocation(&self, cache: &ThreadCache, class: usize) -> *mut u8 {
        // A drainer may have been here, or this is the thread's first: look again.
        if is_loaded(cache, class) || load_spare(cache, class) {
            return pop_loaded(cache, class);
        }
        self.mend_spare(cache, class);
        let loaded = cache.tops[class].load(Ordering::Relaxed);
        let spare = cache.spares[class].load(Ordering::Relaxed);
        let shard = self.shard_of(cache);
        if let Some(full) = self.take_full(shard, class) {
            cache.tops[class].store(full.full_top().cast_mut(), Ordering::Release);
            self.keep_as_spare(cache, class, loaded, spare);
            return pop_loaded(cache, class);
        }
        let Some(magazine) = self.own_magazine(loaded).or_else(|| self.metadata.magazine()) else {
            return self.centrals.allocate_directly(class);
        };
        let most = info(class).magazine_slots as usize;
        let refill = (cache.refill[class].get() as usize).clamp(1, most);
        // SAFETY: a top of the cache's own magazine or of the sentinel block.
        let kept = unsafe { magazine::filled(spare, class) };
        let wanted = if is_split(class) { refill.min(most - kept).max(1) } else { refill };
        // Empty to whoever looks meanwhile: the child of a fork must not take what is half filled for slots.
        let empty = magazine.reset(class);
        cache.tops[class].store(empty.cast_mut(), Ordering::Release);
        // SAFETY: the magazine is ours, was just emptied, and holds at least `most` slots above its sentinel.
        let places = unsafe { core::slice::from_raw_parts(empty.add(1), wanted) };
        // The lowest address on top, so that addresses ascend.
        let mut count = self.centrals.take_slots(class, shard, places);
        if count == 0 {
            count = self.centrals.refill(class, shard, places);
            self.use_more_shards();
        }
        if count == 0 {
            return null_mut();
        }
        let top = empty.wrapping_add(wanted);
        // SAFETY: below the lowest slot there is at least the word that `reset` made the sentinel.
        unsafe { (*top.wrapping_sub(count)).store(0, Ordering::Relaxed) };
        cache.refill[class].set((refill * 2).min(most) as u8);
        cache.tops[class].store(top.cast_mut(), Ordering::Release);
        pop_loaded(cache, class)
    }

    /// Makes room in the magazine that a free goes onto and puts the slot there. Runs in the owner's slow path.
    fn load_for_free(&self, cache: &ThreadCache, class: usize, slot: usize, free: Free) {
        self.mend_spare(cache, class);
        let split = free == Free::ByAddress && is_split(class);
        let (cell, other_cell) =
            if split { (&cache.spares[class], &cache.tops[class]) } else { (&cache.tops[class], &cache.spares[class]) };
        let (top, other) = (cell.load(Ordering::Relaxed), other_cell.load(Ordering::Relaxed));
        if magazine::room(top) != 0 {
            return push_onto(cell, slot);
        }
        // What allocations will come to next should not be nearly all that there is room for.
        let least_room = if split { info(class).magazine_slots as usize / 2 } else { 1 };
        if magazine::room(other) >= least_room {
            other_cell.store(cache.sentinel(), Ordering::Release);
            cell.store(other, Ordering::Release);
            other_cell.store(top, Ordering::Release);
            return push_onto(cell, slot);
        }
        let Some(full) = self.own_magazine(top) else {
            return self.load_empty(cell, class, slot, None);
        };
        cell.store(cache.sentinel(), Ordering::Release);
        if self.own_magazine(other).is_none() {
            other_cell.store(top, Ordering::Release);
            return self.load_empty(cell, class, slot, None);
        }
        // Both are full, or the other has too little room: this one goes to the depot, or back to the spans where the depot
        // has its share.
        if let Some(empty) = self.trade_full(self.shard_of_slots(class, full), class, full) {
            return self.load_empty(cell, class, slot, empty);
        }
        // SAFETY: the magazine is ours, and in no cell.
        unsafe { self.flush_magazine(class, top) };
        self.load_empty(cell, class, slot, Some(full));
    }

    fn load_empty(&self, cell: &AtomicPtr<Word>, class: usize, slot: usize, empty: Option<MagazineRef>) {
        match empty.or_else(|| self.metadata.magazine()) {
            Some(magazine) => {
                cell.store(magazine.reset(class).cast_mut(), Ordering::Release);
                push_onto(cell, slot);
            }
            // No memory for a magazine: the cell holds the sentinel, since what was in it has moved.
            None => self.centrals.flush_slots(class, &mut [0, slot]),
        }
    }

    /// A drainer leaves the top of a spare that it empties where it was. Here the room below it comes back.
    pub(super) fn mend_spare(&self, cache: &ThreadCache, class: usize) {
        let spare = cache.spares[class].load(Ordering::Relaxed);
        if let Some(magazine) = self.own_magazine(spare) {
            // SAFETY: the magazine is the cache's.
            if unsafe { magazine::filled(spare, class) } == 0 {
                cache.spares[class].store(magazine.reset(class).cast_mut(), Ordering::Release);
            }
        }
    }

    /// Keeps one of two empty magazines as the spare and gives the other to the depot.
    fn keep_as_spare(&self, cache: &ThreadCache, class: usize, loaded: *const Word, spare: *const Word) {
        let Some(empty) = self.own_magazine(loaded) else { return };
        if self.own_magazine(spare).is_none() {
            cache.spares[class].store(empty.reset(class).cast_mut(), Ordering::Release);
        } else {
            self.give_empty(self.shard_of(cache), class, empty);
        }
    }
}

/// The magazine in the cell has room. Runs in the owner's slow path.
fn push_onto(cell: &AtomicPtr<Word>, slot: usize) {
    // SAFETY: the top is of the cache's own magazine, which has room.
    let top = unsafe { magazine::push(cell.load(Ordering::Relaxed), slot) };
    cell.store(top.cast_mut(), Ordering::Release);
}
