//! The slow paths of the thread cache: what happens when a magazine is empty or full.
//!
//! An allocation loads the spare magazine. If the spare is empty, the allocation takes a full magazine from the shard's depot.
//! If the depot has none, it refills from the shard's central, or from other shards. A free goes the same way in the other
//! direction. The spare saves a thread that allocates and frees around a magazine's edge from trading each time.
//!
//! **C's frees of small objects go onto the spare magazine** (`size_class::is_split`). Otherwise an allocation takes the slot
//! that was freed last and waits for the stores of this free; in a loop the waits form a chain. mimalloc's pages have a list
//! for frees and a list for allocations (Leijen, Zorn and de Moura, "Mimalloc: Free List Sharding in Action", 2019). The two
//! magazines change places when the loaded magazine is empty and the spare holds enough. If the spare holds less, a refill
//! fills the loaded magazine until both together hold one full magazine. Rust's frees go onto the loaded magazine in all
//! classes: a program gains if it gets the object back that it used last (`is_split` in benches/results/decisions.md).
//!
//! Invariant: at every moment a slot or a magazine is in at most one place: a cache, a depot or a span. The child of a fork
//! finds other threads' caches stopped at any step of a slow path, and empties them. The child loses what these threads held
//! in their hands, but it finds nothing twice. So a magazine leaves its cell (the word that holds its top) before it goes
//! elsewhere, or it is filled under a top that says empty. Release stores to cells keep this order.
//!
//! Orderings: Relaxed loads read words that only the owner changes in its slow path; the Acquire in `enter_slow_path` brought
//! a drainer's changes. The owner's Release stores pair with `take_idle` and `owner_is_in_slow_path` (models: `drain.rs`).
//!
//! Locks: registry, depot, metadata and the locks of the floors below, one at a time. A drainer leaves the cache of a thread
//! in a slow path alone.

use core::ptr::{NonNull, null_mut};

use crate::size_class::{info, is_split};
use crate::sync::atomic::{AtomicPtr, Ordering};

use super::Caches;
use super::magazine::{self, MagazineRef, Word};
use super::spare::{is_loaded, load_spare, pop_loaded};
use super::thread_cache::ThreadCache;

/// How a free knows its object. This decides onto which magazine the slot goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Free {
    /// By its layout: onto the loaded magazine.
    ByLayout,
    /// By its address: onto the spare magazine in classes that are split ([`is_split`]).
    ByAddress,
}

impl Caches {
    /// Allocates a slot of a class when the loaded magazine is empty. Null if the OS gives no more memory. `cache` is the
    /// calling thread's; a thread without a cache takes a slot from central.
    pub fn allocate(&self, cache: Option<&ThreadCache>, class: usize) -> *mut u8 {
        let Some(cache) = cache else { return self.centrals.allocate_directly(class) };
        cache.enter_slow_path();
        let result = self.load_for_allocation(cache, class);
        cache.leave_slow_path();
        result
    }

    /// Frees a slot of a class when the magazine for the slot is full. `cache` is the calling thread's; a thread without a
    /// cache gives the slot to central.
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
        // A drainer may have been here since the fast path, or the cache is new: look again.
        if is_loaded(cache, class) || load_spare(cache, class) {
            return pop_loaded(cache, class);
        }
        self.reset_drained_spare(cache, class);
        let loaded = cache.tops[class].load(Ordering::Relaxed);
        let spare = cache.spares[class].load(Ordering::Relaxed);
        let shard = self.shard_of(cache);
        if let Some(full) = self.take_full(shard, class) {
            cache.tops[class].store(full.full_top().cast_mut(), Ordering::Release);
            self.keep_as_spare(cache, class, loaded, spare);
            let object = pop_loaded(cache, class);
            // Without this check, the heap would take the null for a lack of memory and try again.
            #[cfg(any(debug_assertions, loom))]
            if object.is_null() {
                crate::sys::fatal!("caches", "a full magazine of a depot holds no slot");
            }
            return object;
        }
        let Some(magazine) = self.own_magazine(loaded).or_else(|| self.metadata.magazine()) else {
            return self.centrals.allocate_directly(class);
        };
        let most = info(class).magazine_slots as usize;
        let refill = (cache.refill[class].get() as usize).clamp(1, most);
        // SAFETY: a top of the cache's own magazine or of the sentinel block.
        let in_spare = unsafe { magazine::filled(spare, class) };
        let wanted = if is_split(class) { refill.min(most - in_spare).max(1) } else { refill };
        // The top says empty while the magazine is filled: the child of a fork must find no slot in a half-filled magazine.
        let empty = magazine.reset(class);
        cache.tops[class].store(empty.cast_mut(), Ordering::Release);
        // SAFETY: the magazine is this thread's, was just emptied, and holds at least `most` slots above its sentinel.
        let places = unsafe { core::slice::from_raw_parts(empty.add(1), wanted) };
        // The lowest address comes to lie on top, so that a thread's new objects have ascending addresses.
        let mut count = self.centrals.take_slots(class, shard, places);
        if count == 0 {
            count = self.centrals.refill(class, shard, places);
            self.use_more_shards();
        }
        if count == 0 {
            return null_mut();
        }
        let top = empty.wrapping_add(wanted);
        // SAFETY: the word that `reset` made the sentinel is at or below the word below the lowest slot.
        unsafe { (*top.wrapping_sub(count)).store(0, Ordering::Relaxed) };
        cache.refill[class].set((refill * 2).min(most) as u8);
        cache.tops[class].store(top.cast_mut(), Ordering::Release);
        pop_loaded(cache, class)
    }

    /// Makes room in the magazine for a freed slot, and puts the slot there. Runs in the owner's slow path.
    fn load_for_free(&self, cache: &ThreadCache, class: usize, slot: usize, free: Free) {
        self.reset_drained_spare(cache, class);
        let split = free == Free::ByAddress && is_split(class);
        let (cell, other_cell) =
            if split { (&cache.spares[class], &cache.tops[class]) } else { (&cache.tops[class], &cache.spares[class]) };
        let (top, other) = (cell.load(Ordering::Relaxed), other_cell.load(Ordering::Relaxed));
        if magazine::room(top) != 0 {
            return push_onto(cell, slot);
        }
        // In a split class the other magazine is the loaded magazine. It becomes the spare only if it has room for many frees.
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
        // Both magazines are full, or the other has too little room. The full magazine goes to the depot. If the depot has its
        // share, the slots go back to their spans.
        if let Some(empty) = self.trade_full(self.shard_of_slots(class, full), class, full) {
            return self.load_empty(cell, class, slot, empty);
        }
        // SAFETY: the magazine is this thread's, and in no cell.
        unsafe { self.flush_magazine(class, top) };
        self.load_empty(cell, class, slot, Some(full));
    }

    fn load_empty(&self, cell: &AtomicPtr<Word>, class: usize, slot: usize, empty: Option<MagazineRef>) {
        match empty.or_else(|| self.metadata.magazine()) {
            Some(magazine) => {
                cell.store(magazine.reset(class).cast_mut(), Ordering::Release);
                push_onto(cell, slot);
            }
            // There is no memory for a magazine. The cell holds the sentinel, since its magazine has moved.
            None => self.centrals.flush_slots(class, &mut [0, slot]),
        }
    }

    /// Resets a spare magazine that a drainer has emptied. The drainer did not move the top, so the room below the top was
    /// lost until now.
    pub(super) fn reset_drained_spare(&self, cache: &ThreadCache, class: usize) {
        let spare = cache.spares[class].load(Ordering::Relaxed);
        if let Some(magazine) = self.own_magazine(spare) {
            // SAFETY: the magazine is the cache's.
            if unsafe { magazine::filled(spare, class) } == 0 {
                cache.spares[class].store(magazine.reset(class).cast_mut(), Ordering::Release);
            }
        }
    }

    /// Keeps one empty magazine as the spare. If the spare is a magazine already, the other goes to the depot.
    fn keep_as_spare(&self, cache: &ThreadCache, class: usize, loaded: *const Word, spare: *const Word) {
        let Some(empty) = self.own_magazine(loaded) else { return };
        if self.own_magazine(spare).is_none() {
            cache.spares[class].store(empty.reset(class).cast_mut(), Ordering::Release);
        } else {
            self.give_empty(self.shard_of(cache), class, empty);
        }
    }
}

/// Puts a slot onto the magazine in the cell, which has room. Runs in the owner's slow path.
fn push_onto(cell: &AtomicPtr<Word>, slot: usize) {
    // SAFETY: the top is of a magazine of the thread's cache, which has room.
    let top = unsafe { magazine::push(cell.load(Ordering::Relaxed), slot) };
    cell.store(top.cast_mut(), Ordering::Release);
}
