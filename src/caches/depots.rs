//! The depots of all shards: trading full magazines for empty ones.
//!
//! Orderings: Relaxed, for words that belong to the caller or never change.
//!
//! Locks: depot, metadata, one at a time.

use crate::sync::atomic::Ordering;

use super::Caches;
use super::depot;
use super::magazine::{self, MagazineRef, Word};

impl Caches {
    /// The magazine of a top. `None` if the top is the sentinel block's.
    pub(super) fn own_magazine(&self, top: *const Word) -> Option<MagazineRef> {
        if top == self.sentinel.load(Ordering::Relaxed).cast_const() {
            return None;
        }
        // SAFETY: the tops of a cache point into its own magazines or the sentinel block.
        Some(unsafe { MagazineRef::of_top(top) })
    }

    /// The shard whose depot gets a full magazine: the shard of the topmost slot's span. So objects that one thread makes and
    /// another frees come back to the shard that made them, and to its cache lines, and no span is touched.
    pub(super) fn shard_of_slots(&self, class: usize, full: MagazineRef) -> usize {
        // SAFETY: the magazine is the caller's.
        let slot = unsafe { (*full.full_top()).load(Ordering::Relaxed) };
        self.centrals.page_heaps.span_map.small_span(slot, class).map_or(0, |(span, _)| span.shard())
    }

    /// Gives a full magazine to the depot, and takes an empty magazine if the depot has one. `None` if the depots hold their
    /// share already: the magazine stays the caller's.
    pub(super) fn trade_full(&self, shard: usize, class: usize, full: MagazineRef) -> Option<Option<MagazineRef>> {
        let bytes = depot::magazine_bytes(class);
        let held = self.accounts().counters.shard_depot_bytes(shard) + bytes;
        if held > depot::LEAST_TOTAL_BYTES
            && held > depot::total_capacity(self.accounts().counters.in_use_bytes(), self.accounts().shards.all().len())
        {
            return None;
        }
        // Counted before another thread can take the magazine, so the counter never goes below zero.
        let is_look_due = self.accounts().counters.add_depot(shard, bytes);
        let mut depot = self.depots[shard][class].lock();
        if !depot.push_full(full, depot::capacity(class)) {
            drop(depot);
            self.accounts().counters.subtract_depot(shard, bytes);
            return None;
        }
        let empty = depot.pop_empty();
        drop(depot);
        if is_look_due {
            self.accounts().after_free();
        }
        Some(empty)
    }

    /// Takes a full magazine from a depot.
    pub(super) fn take_full(&self, shard: usize, class: usize) -> Option<MagazineRef> {
        let full = self.depots[shard][class].lock().pop_full()?;
        self.accounts().counters.subtract_depot(shard, depot::magazine_bytes(class));
        Some(full)
    }

    /// [`Self::give_empty`] for the empty magazine that a trade may have brought.
    pub(super) fn keep_empty(&self, shard: usize, class: usize, empty: Option<MagazineRef>) {
        if let Some(empty) = empty {
            self.give_empty(shard, class, empty);
        }
    }

    /// Gives an empty magazine to the depot, or to the metadata store if the depot holds enough.
    pub(super) fn give_empty(&self, shard: usize, class: usize, empty: MagazineRef) {
        if !self.depots[shard][class].lock().push_empty(empty) {
            self.metadata.recycle(empty);
        }
    }

    /// Gives the slots of a magazine, at and below its top, back to their spans. The magazine itself stays the caller's.
    ///
    /// # Safety
    /// `top` points into a magazine that is the caller's, in no cell.
    pub(super) unsafe fn flush_magazine(&self, class: usize, top: *const Word) {
        // SAFETY: the caller's contract.
        unsafe { magazine::with_slots(top, |top| self.centrals.flush(class, top)) }
    }
}
