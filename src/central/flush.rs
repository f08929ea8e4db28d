//! Flush: gives slots back to their spans, and spans that run empty back to their page heaps.
//!
//! A span stays in the shard that it was made for. So a flush gives each slot to the central of its span's shard, whichever
//! thread frees it.
//!
//! Locks: central or heap, never both.

use core::ptr::NonNull;

use crate::size_class::info;
use crate::span::Span;
use crate::units::{PAGE_BYTES, Run};

use super::Centrals;
use super::class::Central;
use super::lists::SpanChain;
use super::misuse::or_abort;

impl Centrals {
    /// Gives the slots of a class in the words at and below `top`, down to a null, back to their spans. Ends the process if
    /// a word cannot be right.
    ///
    /// # Safety
    /// The caller owns the words at and below `top`, down to the first null word.
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
            // SAFETY: the caller's contract. `give` puts a null below the slots that it leaves.
            let given = unsafe { central.give((class, shard), &self.page_heaps.span_map, top, tick, &mut emptied) };
            // The slots are counted before anybody can take them, so the counter never goes below zero.
            look |= self.accounts().counters.add_free_slots(shard, given.unwrap_or(0) * slot_bytes);
            drop(central);
            or_abort(given);
        }
        self.retire_all(emptied);
        if look {
            self.accounts().after_free();
        }
    }

    /// Gives the slots in all `words` but the first back to their spans. The first word is overwritten with the null.
    pub fn flush_slots(&self, class: usize, words: &mut [usize]) {
        let Some(last) = words.len().checked_sub(1) else { return };
        words[0] = 0;
        // SAFETY: the words are borrowed from the caller, and the first is null now.
        unsafe { self.flush(class, words.as_mut_ptr().add(last)) }
    }

    /// Gives emptied spans back to their page heaps.
    pub fn retire_all(&self, mut emptied: SpanChain) {
        while let Some(span) = emptied.pop() {
            self.retire(span);
        }
    }

    /// Gives an emptied span back to its page heap. Pages that were released as holes go back as released pages.
    pub fn retire(&self, span: Span) {
        let run = span.run();
        let info = span.class_info();
        self.accounts().counters.subtract_free_slots(span.shard(), (info.slots * info.slot_bytes) as usize);
        // SAFETY: all slots are free and the span is in no list, so the record belongs to this thread.
        let holes = unsafe { core::mem::take(&mut span.record().released_holes) };
        // SAFETY: as above.
        unsafe { self.page_heaps.span_map.retire(span) };
        if holes == 0 {
            self.page_heaps.free_run(run);
            return;
        }
        let os_page_bytes = self.accounts().os_page_bytes();
        self.accounts().counters.subtract_holes(holes.count_ones() as usize * os_page_bytes);
        // Pages that are wholly released and other pages go back in separate runs.
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

    /// Frees one slot to its central, for a thread without a cache.
    pub fn deallocate_directly(&self, class: usize, slot: NonNull<u8>) {
        self.flush_slots(class, &mut [0, slot.as_ptr().expose_provenance()]);
    }
}
