//! Flush: slots go back to their spans, and spans that run empty go back to the page heap.
//!
//! A span is made for a shard and stays there: a flush gives each slot to the central of its span's shard.
//!
//! Locks: central, or heap, never both.

use core::ptr::NonNull;

use crate::size_class::info;
use crate::span::Span;
use crate::units::{PAGE_BYTES, Run};

use super::Centrals;
use super::class::Central;
use super::lists::SpanChain;
use super::misuse::or_abort;

impl Centrals {
    /// Gives slots of a class back to their spans: those at and below `top`, down to a null. Ends the process if one of them cannot
    /// be right.
    ///
    /// # Safety
    /// The words at and below `top`, down to one that is null, are the caller's.
    pub unsafe fn flush(&self, class: usize, top: *mut usize) {
        let slot_bytes = info(class).slot_bytes as usize;
        let mut emptied = SpanChain::default();
        let tick = self.accounts().counters.tick();
        let mut look = false;
        loop {
            // SAFETY: the caller's contract.
            let slot = unsafe { *top };
            if slot == 0 {
                break;
            }
            let shard = or_abort(Central::span_of(&self.page_heaps.span_map, class, slot)).shard();
            let mut central = self.centrals[shard][class].lock();
            // SAFETY: the caller's contract; `give` leaves a null below what it leaves.
            let given = unsafe { central.give((class, shard), &self.page_heaps.span_map, top, tick, &mut emptied) };
            // Counted before the slots can be taken: the sum never goes below zero.
            look |= self.accounts().counters.add_free_slots(shard, given.unwrap_or(0) * slot_bytes);
            drop(central);
            or_abort(given);
        }
        self.retire_all(emptied);
        if look {
            self.accounts().after_free();
        }
    }

    /// The same for all but the first of `words`, whose place is for the null.
    pub fn flush_slots(&self, class: usize, words: &mut [usize]) {
        let Some(last) = words.len().checked_sub(1) else { return };
        words[0] = 0;
        // SAFETY: the caller's words, the first of which is null now.
        unsafe { self.flush(class, words.as_mut_ptr().add(last)) }
    }

    /// Gives emptied spans back to the page heap.
    pub fn retire_all(&self, mut emptied: SpanChain) {
        while let Some(span) = emptied.pop() {
            self.retire(span);
        }
    }

    /// Gives an emptied span back to the page heap. Pages that were released as holes go back as released.
    pub fn retire(&self, span: Span) {
        let run = span.run();
        let info = span.class_info();
        self.accounts().counters.subtract_free_slots(span.shard(), (info.slots * info.slot_bytes) as usize);
        // SAFETY: all slots are free and the span is in no list, so the record is this thread's.
        let holes = unsafe { core::mem::take(&mut span.record().released_holes) };
        // SAFETY: as above.
        unsafe { self.page_heaps.span_map.retire(span) };
        if holes == 0 {
            self.page_heaps.free_run(run);
            return;
        }
        let os_page_bytes = self.accounts().os_page_bytes();
        self.accounts().counters.subtract_holes(holes.count_ones() as usize * os_page_bytes);
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
            let part = Run { first: run.first.plus(start), pages: end - start };
            if released {
                self.page_heaps.free_released_run(part)
            } else {
                self.page_heaps.free_run(part)
            }
            start = end;
        }
    }

    /// One slot straight to central, for a thread without a cache.
    pub fn deallocate_directly(&self, class: usize, slot: NonNull<u8>) {
        self.flush_slots(class, &mut [0, slot.as_ptr().expose_provenance()]);
    }
}
