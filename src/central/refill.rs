//! Spans of size classes: refill and flush between magazines and central, and spans between central and the page heap.
//!
//! A span is made for a shard and stays there: `flush` gives each slot to the central of its span's shard. Refill goes to the
//! thread's own shard, then to other shards' sparse centrals, then to the heap, and, where that has no more, to whatever central
//! has a slot; only then is looked for what caches and flights hold.
//!
//! Orderings: Relaxed, on a place of its own.
//!
//! Locks: central, or heap, never both: a refill that finds no slot drops the class's lock, makes a span, and takes the
//! lock again. Two threads may then both make one; the second is kept as the spare, or given back.

use crate::size_class::info;
use crate::span::Span;
use crate::sync::atomic::{AtomicUsize, Ordering};

use super::Centrals;

impl Centrals {
    /// Takes slots of a class from a shard's spans and puts them into the last of the places: how many, 0 if they have none.
    #[inline]
    pub fn take_slots(&self, class: usize, shard: usize, places: &[AtomicUsize]) -> usize {
        let (taken, refaulted) =
            self.centrals[shard][class].lock().take(class, self.accounts().os_page_bytes(), places);
        if taken != 0 {
            self.count_taken(class, shard, taken, refaulted);
        }
        taken
    }

    /// The same for a class whose spans in `shard` had no slot: from the other shards' spans or a new one; 0 if the OS gives
    /// no more memory and no shard has a slot.
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

    /// The OS gives no more memory: the last free slots are everybody's.
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
        // Counted before the slots can be taken: the sum never goes below zero.
        self.accounts().counters.add_free_slots(shard, (info.slots * info.slot_bytes) as usize);
        let mut central = self.centrals[shard][class].lock();
        // Slots may have come back meanwhile. They are used first, and then the new span may not be needed: it must not
        // stay behind among the spans with free slots, where nobody would see that it is wholly free.
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
            self.accounts().counters.add_refaulted(bytes);
            // Free slots beside the ones taken are on backed pages again: a rise that no free makes.
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
            // SAFETY: made just now.
            Some(span) => unsafe { span.set_shard(shard) },
            None => self.page_heaps.free_run(taken.run),
        }
        span
    }

    /// One slot straight from central, for a thread without a cache; null if there is no memory.
    pub fn allocate_directly(&self, class: usize) -> *mut u8 {
        let place = [AtomicUsize::new(0)];
        if self.take_slots(class, 0, &place) == 0 {
            self.refill(class, 0, &place);
        }
        core::ptr::with_exposed_provenance_mut(place[0].load(Ordering::Relaxed))
    }
}
