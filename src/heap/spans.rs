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

use core::ptr::NonNull;

use crate::central::{Central, Misuse, SpanChain};
use crate::magazine::{self, Word};
use crate::size_class::info;
use crate::span::Span;
use crate::sync::atomic::Ordering;
use crate::sys;
use crate::units::PAGE_BYTES;

use super::Heap;

impl Heap {
    /// Takes slots of a class from a shard's spans and puts them into the last of the places: how many, 0 if they have none.
    #[inline]
    pub(crate) fn take_slots(&self, class: usize, shard: usize, places: &[Word]) -> usize {
        let (taken, refaulted) = self.centrals[shard][class].lock().take(class, self.os_page_bytes(), places);
        if taken != 0 {
            self.count_taken(class, shard, taken, refaulted);
        }
        taken
    }

    /// The same for a class whose spans in `shard` had no slot: from the other shards' spans or a new one; 0 if the OS gives
    /// no more memory and no shard has a slot.
    #[cold]
    pub(crate) fn refill(&self, class: usize, shard: usize, places: &[Word]) -> usize {
        let os_page_bytes = self.os_page_bytes();
        let mut epoch = None;
        for other in self.shards.others(shard) {
            let epoch = *epoch.get_or_insert_with(|| self.epoch());
            let result = self.centrals[other][class].lock().take_excess(class, epoch, os_page_bytes, places);
            if let Some((taken, refaulted)) = result {
                self.count_taken(class, other, taken, refaulted);
                return taken;
            }
        }
        match self.make_span(class, shard, false) {
            Some(span) => self.take_from_new(span, (class, shard), places),
            None => self.refill_from_the_last(class, shard, places),
        }
    }

    /// The OS gives no more memory: the last free slots are everybody's, and what caches hold goes back to spans and heap.
    fn refill_from_the_last(&self, class: usize, shard: usize, places: &[Word]) -> usize {
        let any = || self.shards.all().map(|any| self.take_slots(class, any, places)).find(|taken| *taken != 0);
        if let Some(taken) = any() {
            return taken;
        }
        match self.make_span(class, shard, true) {
            Some(span) => self.take_from_new(span, (class, shard), places),
            None => any().unwrap_or(0),
        }
    }

    fn take_from_new(&self, span: Span, (class, shard): (usize, usize), places: &[Word]) -> usize {
        let os_page_bytes = self.os_page_bytes();
        let info = info(class);
        // Counted before the slots can be taken: the sum never goes below zero.
        self.counters.add_free_slots(shard, (info.slots * info.slot_bytes) as usize);
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
        self.counters.subtract_free_slots(shard, slots * info(class).slot_bytes as usize);
        if os_pages != 0 {
            let bytes = os_pages as usize * self.os_page_bytes();
            self.counters.subtract_holes(bytes);
            self.counters.add_refaulted(bytes);
            // Free slots beside the ones taken are on backed pages again: a rise that no free makes.
            self.after_free();
        }
    }

    fn make_span(&self, class: usize, shard: usize, reclaim: bool) -> Option<Span> {
        let info = info(class);
        let (pages, align_pages) = (info.span_pages as usize, info.span_align_pages as usize);
        let taken = self.take_span_run(shard, pages, align_pages, reclaim)?;
        // SAFETY: the pages were just taken, and growth made metadata for them.
        let span = unsafe { self.map.create(taken.run, Some(class)) };
        match span {
            // SAFETY: made just now.
            Some(span) => unsafe { span.set_shard(shard) },
            None => self.free_run(taken.run),
        }
        span
    }

    /// Gives slots of a class back to their spans: those at and below `top`, down to a null. Ends the process if one of them cannot
    /// be right.
    ///
    /// # Safety
    /// The words at and below `top`, down to one that is null, are the caller's.
    unsafe fn flush(&self, class: usize, top: *mut usize) {
        let slot_bytes = info(class).slot_bytes as usize;
        let mut emptied = SpanChain::default();
        let tick = self.counters.tick();
        let mut look = false;
        loop {
            // SAFETY: the caller's contract.
            let slot = unsafe { *top };
            if slot == 0 {
                break;
            }
            let shard = self.or_abort(Central::span_of(&self.map, class, slot)).shard();
            let mut central = self.centrals[shard][class].lock();
            // SAFETY: the caller's contract; `give` leaves a null below what it leaves.
            let given = unsafe { central.give((class, shard), &self.map, top, tick, &mut emptied) };
            // Counted before the slots can be taken: the sum never goes below zero.
            look |= self.counters.add_free_slots(shard, given.unwrap_or(0) * slot_bytes);
            drop(central);
            self.or_abort(given);
        }
        self.retire_all(emptied);
        if look {
            self.after_free();
        }
    }

    /// The same for the slots of a magazine, at and below a top. The block stays the caller's.
    ///
    /// # Safety
    /// `top` points into a magazine that is the caller's, in no cell.
    pub(crate) unsafe fn flush_magazine(&self, class: usize, top: *const Word) {
        // SAFETY: the caller's contract.
        unsafe { magazine::with_slots(top, |top| self.flush(class, top)) }
    }

    /// The same for all but the first of `words`, whose place is for the null.
    pub(crate) fn flush_slots(&self, class: usize, words: &mut [usize]) {
        let Some(last) = words.len().checked_sub(1) else { return };
        words[0] = 0;
        // SAFETY: the caller's words, the first of which is null now.
        unsafe { self.flush(class, words.as_mut_ptr().add(last)) }
    }

    /// Ends the process with one line if a free was a misuse.
    pub(crate) fn or_abort<T>(&self, result: Result<T, Misuse>) -> T {
        match result {
            Ok(value) => value,
            Err(Misuse::DoubleFree(address)) => sys::fatal!("central", "double free of {address:#x}"),
            Err(Misuse::Foreign(address)) => {
                sys::fatal!(
                    "central",
                    "free of {address:#x}, which is not an object of this heap or has another layout"
                )
            }
        }
    }

    /// Gives emptied spans back to the page heap.
    pub(crate) fn retire_all(&self, mut emptied: SpanChain) {
        while let Some(span) = emptied.pop() {
            self.retire(span);
        }
    }

    /// Gives an emptied span back to the page heap. Pages that were released as holes go back as released.
    pub(crate) fn retire(&self, span: Span) {
        let run = span.run();
        let info = span.class_info();
        self.counters.subtract_free_slots(span.shard(), (info.slots * info.slot_bytes) as usize);
        // SAFETY: all slots are free and the span is in no list, so the record is this thread's.
        let holes = unsafe { core::mem::take(&mut span.record().released_holes) };
        // SAFETY: as above.
        unsafe { self.map.retire(span) };
        if holes == 0 {
            self.free_run(run);
            return;
        }
        let os_page_bytes = self.os_page_bytes();
        self.counters.subtract_holes(holes.count_ones() as usize * os_page_bytes);
        // Parts that are wholly released and parts that are not go back separately.
        let per_page = PAGE_BYTES / os_page_bytes;
        let mask = u64::MAX >> (64 - per_page);
        let is_released = |page: usize| holes >> (page * per_page) & mask == mask;
        let mut start = 0;
        while start < run.pages {
            let released = is_released(start);
            let mut end = start + 1;
            while end < run.pages && is_released(end) == released {
                end += 1;
            }
            let part = crate::units::Run { first: run.first.plus(start), pages: end - start };
            if released {
                self.free_released_run(part)
            } else {
                self.free_run(part)
            }
            start = end;
        }
    }

    /// One slot straight from central, for a thread without a cache; null if there is no memory.
    pub(crate) fn allocate_directly(&self, class: usize) -> *mut u8 {
        let place = [Word::new(0)];
        if self.take_slots(class, 0, &place) == 0 {
            self.refill(class, 0, &place);
        }
        core::ptr::with_exposed_provenance_mut(place[0].load(Ordering::Relaxed))
    }

    /// One slot straight to central, for a thread without a cache.
    pub(crate) fn deallocate_directly(&self, class: usize, slot: NonNull<u8>) {
        self.flush_slots(class, &mut [0, slot.as_ptr().expose_provenance()]);
    }
}
