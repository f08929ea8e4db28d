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

use crate::depot;
use crate::lock::between_stores;
use crate::magazine::{self, MagazineRef, Word};
use crate::size_class::{CLASSES, info, is_split};
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::thread_cache::{CacheSlot, DRAINED, NOT_DRAINED, ThreadCache, gone};

use super::Heap;

/// Allocates a slot of a class when the loaded magazine has none; null if there is no memory.
///
/// # Safety
/// `slot` is the calling thread's. `on_new` is told of a cache made for the thread and answers whether the thread's exit
/// will be noticed; it may allocate and free.
pub unsafe fn allocate_slow(heap: &Heap, slot: &CacheSlot, class: usize, on_new: impl FnOnce() -> bool) -> *mut u8 {
    // SAFETY: the caller's contract.
    let Some(cache) = (unsafe { own_cache(heap, slot, on_new) }) else { return heap.allocate_directly(class) };
    cache.enter_slow_path();
    let result = heap.load_for_allocation(cache, class);
    cache.leave_slow_path();
    result
}

/// Loads the spare magazine, if there is enough in it, and takes a slot from it; null if not. No lock is taken, no book changes,
/// and there is no waiting.
///
/// # Safety
/// `slot` is the calling thread's.
#[cfg(any(serves_c, loom))]
#[inline]
pub unsafe fn allocate_from_spare(slot: &CacheSlot, class: usize) -> *mut u8 {
    let own = slot.own.load(Ordering::Relaxed);
    if own.is_null() || own == gone() {
        return null_mut();
    }
    // SAFETY: neither null nor the mark, so this thread's cache, which stays until the thread gives it back.
    let cache = unsafe { &*own };
    if !cache.try_enter_slow_path() {
        return null_mut();
    }
    let object =
        if is_loaded(cache, class) || load_spare(cache, class) { pop_loaded(cache, class) } else { null_mut() };
    cache.leave_slow_path();
    object
}

/// How a free knows its object, and so onto which magazine it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Free {
    /// By its layout: onto the loaded magazine.
    ByLayout,
    /// By its address: onto the spare in classes that are split ([`is_split`]).
    ByAddress,
}

/// Frees a slot of a class when the magazine that it goes onto is full.
///
/// # Safety
/// As for [`allocate_slow`]; the slot is the caller's, of that class.
pub unsafe fn deallocate_slow(
    heap: &Heap,
    slot: &CacheSlot,
    class: usize,
    object: NonNull<u8>,
    free: Free,
    on_new: impl FnOnce() -> bool,
) {
    // SAFETY: the caller's contract.
    let Some(cache) = (unsafe { own_cache(heap, slot, on_new) }) else {
        return heap.deallocate_directly(class, object);
    };
    cache.enter_slow_path();
    heap.load_for_free(cache, class, object.as_ptr().expose_provenance(), free);
    cache.leave_slow_path();
}

/// The thread's cache, made now if it has none. `None` if it has given its cache back, or there is no memory for one.
unsafe fn own_cache<'a>(heap: &'a Heap, slot: &CacheSlot, on_new: impl FnOnce() -> bool) -> Option<&'a ThreadCache> {
    let own = slot.own.load(Ordering::Relaxed);
    if own == gone() {
        return None;
    }
    // SAFETY: null, or this thread's cache, which stays until the thread gives it back.
    if let Some(cache) = unsafe { own.as_ref() } {
        return Some(cache);
    }
    let cache = heap.make_cache(slot)?;
    if !on_new() {
        // A cache that outlived its thread would have drainers write into that thread's words.
        // SAFETY: the thread's own words.
        unsafe { give_back_cache(heap, slot) };
        return None;
    }
    // SAFETY: made just now.
    Some(unsafe { cache.as_ref() })
}

/// Gives a thread's cache back whole: at thread exit. The thread may go on allocating and freeing, slowly.
///
/// # Safety
/// `slot` is the calling thread's.
pub unsafe fn give_back_cache(heap: &Heap, slot: &CacheSlot) {
    let own = slot.own.load(Ordering::Relaxed);
    if own.is_null() || own == gone() {
        slot.own.store(gone(), Ordering::Relaxed);
        return;
    }
    // SAFETY: neither null nor the mark, so this thread's cache.
    let cache = unsafe { NonNull::new_unchecked(own) };
    // SAFETY: as above.
    let cache_ref = unsafe { cache.as_ref() };
    loop {
        cache_ref.enter_slow_path();
        let mut registry = heap.registry.lock();
        // A drainer marks caches under this lock: one that is unmarked now is not marked later.
        if cache_ref.drain.word().load(Ordering::Acquire) == NOT_DRAINED {
            slot.fast.store(heap.sentinel_cache.load(Ordering::Relaxed), Ordering::Relaxed);
            slot.own.store(gone(), Ordering::Relaxed);
            // SAFETY: registered and not drained; removed and empty below, and this thread has let go of it.
            unsafe {
                registry.remove(cache);
                drop(registry);
                heap.empty_cache(cache_ref);
                heap.registry.lock().recycle(cache);
            }
            return;
        }
        drop(registry);
        cache_ref.leave_slow_path();
        cache_ref.drain.wait(DRAINED, None);
    }
}

impl Heap {
    fn make_cache(&self, slot: &CacheSlot) -> Option<NonNull<ThreadCache>> {
        let reused = self.registry.lock().reuse();
        let memory = match reused {
            Some(memory) => memory,
            None => self.metadata.allocate(size_of::<ThreadCache>())?.cast(),
        };
        let sentinel: *const Word = self.sentinel.load(Ordering::Relaxed);
        // SAFETY: memory of the right size and alignment that nobody uses; the cache is registered once.
        unsafe {
            memory.write(ThreadCache::new(sentinel));
            memory.as_ref().slot.store(core::ptr::from_ref(slot).cast_mut(), Ordering::Relaxed);
            slot.own.store(memory.as_ptr(), Ordering::Relaxed);
            // Before the cache is registered: from then on a drainer may point the word elsewhere, which must not be
            // overwritten.
            slot.fast.store(memory.as_ptr(), Ordering::Release);
            let mut registry = self.registry.lock();
            memory.as_ref().number.set(registry.created());
            registry.add(memory);
        }
        Some(memory)
    }

    /// The shard that a thread goes to first.
    pub fn shard_of(&self, cache: &ThreadCache) -> usize {
        self.shards.of(cache.number.get())
    }

    /// The same for a thread without a cache, by the kernel's number of it.
    pub fn shard_without_cache(&self, thread: usize) -> usize {
        self.shards.of(thread)
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
            return self.allocate_directly(class);
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
        let mut count = self.take_slots(class, shard, places);
        if count == 0 {
            count = self.refill(class, shard, places);
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
            None => self.flush_slots(class, &mut [0, slot]),
        }
    }

    /// The magazine of a top, unless it is the sentinel block.
    pub(super) fn own_magazine(&self, top: *const Word) -> Option<MagazineRef> {
        if top == self.sentinel.load(Ordering::Relaxed).cast_const() {
            return None;
        }
        // SAFETY: the tops of a cache point into its own magazines or the sentinel.
        Some(unsafe { MagazineRef::of_top(top) })
    }

    /// A drainer leaves the top of a spare that it empties where it was. Here the room below it comes back.
    fn mend_spare(&self, cache: &ThreadCache, class: usize) {
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

    /// The shard whose depot a full magazine goes to: that of its topmost slot's span. What a thread makes and another frees
    /// comes back to the first one's shard, and to its cache lines, without a span being touched.
    fn shard_of_slots(&self, class: usize, full: MagazineRef) -> usize {
        // SAFETY: the magazine is the caller's.
        let slot = unsafe { (*full.full_top()).load(Ordering::Relaxed) };
        self.map.small_span(slot, class).map_or(0, |(span, _)| span.shard())
    }

    /// Gives a full magazine to the depot for an empty one, if it has one. `None` where the depots have their share.
    fn trade_full(&self, shard: usize, class: usize, full: MagazineRef) -> Option<Option<MagazineRef>> {
        let bytes = depot::magazine_bytes(class);
        let held = self.counters.shard_depot_bytes(shard) + bytes;
        if held > depot::LEAST_TOTAL_BYTES
            && held > depot::total_capacity(self.counters.in_use_bytes(), self.shards.all().len())
        {
            return None;
        }
        // Counted before anybody can take it: the sum never goes below zero.
        let look = self.counters.add_depot(shard, bytes);
        let mut depot = self.depots[shard][class].lock();
        if !depot.push_full(full, depot::capacity(class)) {
            drop(depot);
            self.counters.subtract_depot(shard, bytes);
            return None;
        }
        let empty = depot.pop_empty();
        drop(depot);
        if look {
            self.after_free();
        }
        Some(empty)
    }

    /// Takes a full magazine from a depot.
    pub(super) fn take_full(&self, shard: usize, class: usize) -> Option<MagazineRef> {
        let full = self.depots[shard][class].lock().pop_full()?;
        self.counters.subtract_depot(shard, depot::magazine_bytes(class));
        Some(full)
    }

    fn keep_empty(&self, shard: usize, class: usize, empty: Option<MagazineRef>) {
        if let Some(empty) = empty {
            self.give_empty(shard, class, empty);
        }
    }

    /// Gives an empty magazine to the depot, or to the store where the depot has enough.
    pub(crate) fn give_empty(&self, shard: usize, class: usize, empty: MagazineRef) {
        if !self.depots[shard][class].lock().push_empty(empty) {
            self.metadata.recycle(empty);
        }
    }

    /// Moves everything in a cache to depots and spans. Its thread does not use it meanwhile, and nobody drains it.
    pub(super) fn empty_cache(&self, cache: &ThreadCache) {
        for class in 0..CLASSES {
            // Or it would pass for full.
            self.mend_spare(cache, class);
            for cell in [&cache.tops[class], &cache.spares[class]] {
                let top = cell.swap(cache.sentinel(), Ordering::Relaxed);
                let Some(magazine) = self.own_magazine(top) else { continue };
                let is_full = magazine::above(top).is_none();
                if is_full {
                    let shard = self.shard_of_slots(class, magazine);
                    if let Some(empty) = self.trade_full(shard, class, magazine) {
                        self.keep_empty(shard, class, empty);
                        continue;
                    }
                }
                // SAFETY: the cache's own magazine, in no cell any more.
                unsafe { self.flush_magazine(class, top) };
                self.give_empty(self.shard_of(cache), class, magazine);
            }
        }
    }
}

/// Whether the loaded magazine has a slot.
fn is_loaded(cache: &ThreadCache, class: usize) -> bool {
    // SAFETY: a top of the cache's own magazine or of the sentinel block.
    unsafe { (*cache.tops[class].load(Ordering::Relaxed)).load(Ordering::Relaxed) != 0 }
}

/// Exchanges the loaded magazine, which is empty, for the spare, if that has enough. Runs in the owner's slow path.
#[inline]
fn load_spare(cache: &ThreadCache, class: usize) -> bool {
    let spare = cache.spares[class].load(Ordering::Relaxed);
    // Each exchange is a slow path: it should last. A thread with few objects gets more until it does.
    let lasting = (info(class).magazine_slots as usize * 7 / 8).min(cache.refill[class].get() as usize);
    let enough = if is_split(class) { lasting } else { 1 };
    // SAFETY: as in `is_loaded`.
    if unsafe { magazine::filled(spare, class) } < enough {
        return false;
    }
    let loaded = cache.tops[class].load(Ordering::Relaxed);
    cache.spares[class].store(cache.sentinel(), Ordering::Release);
    between_stores();
    cache.tops[class].store(spare, Ordering::Release);
    between_stores();
    if loaded != cache.sentinel() {
        // SAFETY: a top that is not the sentinel's is of the cache's own magazine.
        let empty = unsafe { MagazineRef::of_top(loaded) };
        cache.spares[class].store(empty.reset(class).cast_mut(), Ordering::Release);
    }
    true
}

/// The loaded magazine has a slot.
fn pop_loaded(cache: &ThreadCache, class: usize) -> *mut u8 {
    // SAFETY: the owner's slow path; drainers leave the cache alone.
    core::ptr::with_exposed_provenance_mut(unsafe { cache.pop(class) })
}

/// The magazine in the cell has room. Runs in the owner's slow path.
fn push_onto(cell: &AtomicPtr<Word>, slot: usize) {
    // SAFETY: the top is of the cache's own magazine, which has room.
    let top = unsafe { magazine::push(cell.load(Ordering::Relaxed), slot) };
    cell.store(top.cast_mut(), Ordering::Release);
}
