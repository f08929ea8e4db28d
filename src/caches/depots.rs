//! The depots of all shards: trading full magazines for empty ones.
//!
//! Orderings: Relaxed, on words that are the caller's or never change.
//!
//! Locks: depot, metadata, one at a time.

use crate::sync::atomic::Ordering;

use super::Caches;
use super::depot;
use super::magazine::{self, MagazineRef, Word};

impl Caches {
    /// The magazine of a top, unless it is the sentinel block.
    pub(super) fn own_magazine(&self, top: *const Word) -> Option<MagazineRef> {
        if top == self.sentinel.load(Ordering::Relaxed).cast_const() {
            return None;
        }
        // SAFETY: the tops of a cache point into its own magazines or the sentinel.
        Some(unsafe { MagazineRef::of_top(top) })
    }

    /// The shard whose depot a full magazine goes to: that of its topmost slot's span. What a thread makes and another frees
    /// comes back to the first one's shard, and to its cache lines, without a span being touched.
    pub(super) fn shard_of_slots(&self, class: usize, full: MagazineRef) -> usize {
        // SAFETY: the magazine is the caller's.
        let slot = unsafe { (*full.full_top()).load(Ordering::Relaxed) };
        self.centrals.page_heaps.span_map.small_span(slot, class).map_or(0, |(span, _)| span.shard())
    }

    /// Gives a full magazine to the depot for an empty one, if it has one. `None` where the depots have their share.
    pub(super) fn trade_full(&self, shard: usize, class: usize, full: MagazineRef) -> Option<Option<MagazineRef>> {
        let bytes = depot::magazine_bytes(class);
        let held = self.accounts().counters.shard_depot_bytes(shard) + bytes;
        if held > depot::LEAST_TOTAL_BYTES
            && held > depot::total_capacity(self.accounts().counters.in_use_bytes(), self.accounts().shards.all().len())
        {
            return None;
        }
        // Counted before anybody can take it: the sum never goes below zero.
        let look = self.accounts().counters.add_depot(shard, bytes);
        let mut depot = self.depots[shard][class].lock();
        if !depot.push_full(full, depot::capacity(class)) {
            drop(depot);
            self.accounts().counters.subtract_depot(shard, bytes);
            return None;
        }
        let empty = depot.pop_empty();
        drop(depot);
        if look {
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

    pub(super) fn keep_empty(&self, shard: usize, class: usize, empty: Option<MagazineRef>) {
        if let Some(empty) = empty {
            self.give_empty(shard, class, empty);
        }
    }

    /// Gives an empty magazine to the depot, or to the store where the depot has enough.
    pub(super) fn give_empty(&self, shard: usize, class: usize, empty: MagazineRef) {
        if !self.depots[shard][class].lock().push_empty(empty) {
            self.metadata.recycle(empty);
        }
    }

    /// Gives the slots of a magazine, at and below a top, back to their spans. The block stays the caller's.
    ///
    /// # Safety
    /// `top` points into a magazine that is the caller's, in no cell.
    pub(super) unsafe fn flush_magazine(&self, class: usize, top: *const Word) {
        // SAFETY: the caller's contract.
        unsafe { magazine::with_slots(top, |top| self.centrals.flush(class, top)) }
    }
}
