//! Refill: takes slots from spans for the caches, and makes spans.
//!
//! A refill looks for slots in this order: the central of the thread's own shard, the excess of other shards' centrals, a
//! new span, and, if the OS gives no more memory, any central that has a slot. The floors above then look for what caches
//! and flights hold.
//!
//! Orderings: Relaxed, on a local place that no other thread sees.
//!
//! Locks: central or heap, never both. A refill that finds no slot drops the central's lock, makes a span, and takes the
//! lock again. So two threads may both make a span. The second span becomes the spare, or goes back to its page heap.

use crate::size_class::info;
use crate::span::Span;
use crate::sync::atomic::{AtomicUsize, Ordering};

use super::Centrals;

impl Centrals {
    /// Takes slots of a class from a shard's spans and puts them into the last of `places`. Returns how many it took: 0 if
    /// the spans have no slot.
    #[inline]
    pub fn take_slots(&self, class: usize, shard: usize, places: &[AtomicUsize]) -> usize {
        let (taken, refaulted) =
            self.centrals[shard][class].lock().take(class, self.accounts().os_page_bytes(), places);
        if taken != 0 {
            self.count_taken(class, shard, taken, refaulted);
        }
        taken
    }

    /// Takes slots of a class for a shard whose spans have none, from another shard's excess or from a new span. Returns
    /// how many it took: 0 if the OS gives no more memory and no shard has a slot.
    #[cold]
    pub fn refill(&self, class: usize, shard: usize, places: &[AtomicUsize]) -> usize {
        let os_page_bytes = self.accounts().os_page_bytes();
        let mut epoch = None;
        for other in self.accounts().shards.others(shard) {
            let epoch = *epoch.get_or_insert_with(|| self.accounts().epoch());
            let result = self.centrals[other][class].lock().take_excess(class, epoch, os_page_bytes, places);
            if let Some((taken, refaulted)) = result {
                self.count_taken(class, other, taken, refaulted);
                return taken;
            }
        }
        match self.make_span(class, shard) {
            Some(span) => self.take_from_new(span, (class, shard), places),
            None => self.refill_from_the_last(class, places),
        }
    }

    /// Takes slots from any shard's spans: the OS gives no more memory, so the last free slots are for every shard.
    fn refill_from_the_last(&self, class: usize, places: &[AtomicUsize]) -> usize {
        self.accounts()
            .shards
            .all()
            .map(|any| self.take_slots(class, any, places))
            .find(|taken| *taken != 0)
            .unwrap_or(0)
    }

    fn take_from_new(&self, span: Span, (class, shard): (usize, usize), places: &[AtomicUsize]) -> usize {
        let os_page_bytes = self.accounts().os_page_bytes();
        let info = info(class);
        // The slots are counted before anybody can take them, so the counter never goes below zero.
        self.accounts().counters.add_free_slots(shard, (info.slots * info.slot_bytes) as usize);
        let mut central = self.centrals[shard][class].lock();
        // Slots may have come back meanwhile. They are used first, and the new span may not be needed then. It must not
        // stay in a list: there nobody would see that it is wholly free.
        let (taken, refaulted) = central.take(class, os_page_bytes, places);
        if taken != 0 {
            let kept = central.keep_spare(span);
            drop(central);
            self.count_taken(class, shard, taken, refaulted);
            if !kept {
                self.retire(span);
            }
            return taken;
        }
        central.add(span);
        let (taken, refaulted) = central.take(class, os_page_bytes, places);
        drop(central);
        self.count_taken(class, shard, taken, refaulted);
        taken
    }

    fn count_taken(&self, class: usize, shard: usize, slots: usize, os_pages: u32) {
        self.accounts().counters.subtract_free_slots(shard, slots * info(class).slot_bytes as usize);
        if os_pages != 0 {
            let bytes = os_pages as usize * self.accounts().os_page_bytes();
            self.accounts().counters.subtract_holes(bytes);
            self.accounts().counters.add_faulted(bytes);
            // The free slots beside the taken slots are on backed pages again. This is a rise of a level without a free.
            self.accounts().after_free();
        }
    }

    fn make_span(&self, class: usize, shard: usize) -> Option<Span> {
        let info = info(class);
        let (pages, align_pages) = (info.span_pages as usize, info.span_align_pages as usize);
        let taken = self.page_heaps.take_span_run(shard, pages, align_pages)?;
        // SAFETY: the pages were just taken, and growth made metadata for them.
        let span = unsafe { self.page_heaps.span_map.create(taken.run, Some(class)) };
        match span {
            // SAFETY: the span was made just now, so no slot of it was handed out.
            Some(span) => unsafe { span.set_shard(shard) },
            None => self.page_heaps.free_run(taken.run),
        }
        span
    }

    /// Allocates one slot from a central, for a thread without a cache; null if there is no memory.
    pub fn allocate_directly(&self, class: usize) -> *mut u8 {
        let place = [AtomicUsize::new(0)];
        if self.take_slots(class, 0, &place) == 0 {
            self.refill(class, 0, &place);
        }
        core::ptr::with_exposed_provenance_mut(place[0].load(Ordering::Relaxed))
    }
}
