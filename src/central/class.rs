//! Central: a size class's spans that have free slots.
//!
//! Refill takes slots from the fullest span there is, lowest address first within it, so that other spans run empty and
//! go back to the heap whole. Spans are kept in lists by occupancy. A span moves between lists lazily: a free only
//! counts, and refill puts a span that turns out to be in the wrong list into the right one.
//!
//! Each shard has a central of each class. A span belongs to the shard that made it and its slots come back to that
//! shard's central, whoever frees them: `give` takes those of its own out of a magazine and leaves the others to the caller.
//! Where much is not needed ([`Central::has_excess`]) other shards' threads take from it, too.
//!
//! Freed slots' pages can be released while the span stays in use (holes): see `hole_queue`.
//!
//! Invariants:
//! 1. A span is in a list exactly if it has a free slot; a span whose slots are all free is in none: it is handed to the
//!    caller, who retires it.
//! 2. `free_slots` is the bitmap's population. A slot in flight has its bit clear.
//! 3. A page marked in `released_holes` holds no slot that is out; refill clears the mark when it takes one.
//!
//! Orderings: Relaxed, into places of the caller's, who publishes them.
//!
//! Locks: each class has one in every shard (rank central); nothing is taken under it and no system call is made.

use crate::accounts::working_set::WorkingSet;
use crate::holes;
use crate::size_class::info;
use crate::span::{Span, SpanMap};
use crate::sync::atomic::{AtomicUsize, Ordering};

use super::lists::{SpanChain, SpanLists};
use super::misuse::{Misuse, misuse};

/// With less than so much unneeded, or less than this part of what it has, a central keeps it for its own shard: slots that
/// threads of two shards have by turns share cache lines. See [`Central::has_excess`].
pub(super) const SPARSE_BYTES: usize = if cfg!(loom) { 1 } else { 32 << 10 };
pub(super) const SPARSE_PART: usize = 8;
/// The most bytes of a class's free slots that may all be in processors' caches.
pub(super) const MOST_CACHED_BYTES: usize = 8 << 20;

/// A class's spans with free slots. All functions that take `&mut self` run under the class's lock, which is what makes
/// the spans' records theirs.
pub struct Central {
    pub(super) lists: SpanLists,
    /// Spans with slots freed since their holes were last taken, oldest first.
    pub(super) holes_head: Option<Span>,
    pub(super) holes_tail: Option<Span>,
    /// One span with all slots free, kept so that a class on the edge does not trade spans with the heap.
    spare: Option<Span>,
    pub(super) free_slots: usize,
    pub(super) spans: usize,
    /// Of the free slots.
    working_set: WorkingSet,
}

// SAFETY: the spans' records belong to the holder of the lock around this value (span invariant 2).
unsafe impl Send for Central {}

/// Moves slots out of a bitmap into the places, the last first, and tells `taken` of each.
#[inline(always)]
fn take_from(
    bitmap: &mut [u64],
    base: usize,
    slot_bytes: usize,
    places: &mut core::slice::Iter<AtomicUsize>,
    mut taken: impl FnMut(usize),
) {
    let mut first = base;
    for word in bitmap {
        let mut free = *word;
        while free != 0 {
            let Some(place) = places.next_back() else { break };
            let slot = first + free.trailing_zeros() as usize * slot_bytes;
            free &= free - 1;
            taken(slot);
            place.store(slot, Ordering::Relaxed);
        }
        *word = free;
        if places.len() == 0 {
            break;
        }
        first += 64 * slot_bytes;
    }
}

impl Central {
    /// A class without spans.
    pub const fn new() -> Self {
        Self {
            lists: SpanLists::new(),
            holes_head: None,
            holes_tail: None,
            spare: None,
            free_slots: 0,
            spans: 0,
            working_set: WorkingSet::new(),
        }
    }

    /// Slots free in the class's spans.
    pub fn free_slots(&self) -> usize {
        self.free_slots
    }

    /// Whether so much of the class's memory here is unneeded that other shards' threads should use it before there is more.
    pub fn has_excess(&mut self, class: usize, epoch: u32) -> bool {
        let info = info(class);
        let slot_bytes = info.slot_bytes as usize;
        let excess = self.working_set.excess(epoch, self.free_slots, MOST_CACHED_BYTES / slot_bytes);
        excess * slot_bytes >= SPARSE_BYTES && SPARSE_PART * excess > self.spans * info.slots as usize
    }

    /// [`Central::take`] for another shard: `None` unless this one is sparse.
    pub fn take_excess(
        &mut self,
        class: usize,
        epoch: u32,
        os_page_bytes: usize,
        places: &[AtomicUsize],
    ) -> Option<(usize, u32)> {
        if !self.has_excess(class, epoch) {
            return None;
        }
        let taken = self.take(class, os_page_bytes, places);
        self.working_set.lent(taken.0);
        Some(taken)
    }

    /// Adds a fresh span, all of whose slots are free.
    pub fn add(&mut self, span: Span) {
        self.fill(span);
        self.lists.link_emptiest(span);
    }

    /// Keeps a fresh span as the spare; `false` if there is one already: then the span stays the caller's.
    pub fn keep_spare(&mut self, span: Span) -> bool {
        if self.spare.is_some() {
            return false;
        }
        self.fill(span);
        self.spare = Some(span);
        true
    }

    fn fill(&mut self, span: Span) {
        let slots = span.class_info().slots as usize;
        // SAFETY: the span is the caller's and becomes this class's.
        let (record, bitmap) = unsafe { (span.record(), span.bitmap()) };
        bitmap.fill(u64::MAX);
        if let (Some(last), tail @ 1..) = (bitmap.last_mut(), slots % 64) {
            *last = (1 << tail) - 1;
        }
        record.free_slots = slots as u16;
        self.free_slots += slots;
        self.spans += 1;
    }

    /// The fullest span; the spare span if no other has a free slot.
    #[inline]
    fn fullest(&mut self, slots: u32) -> Option<Span> {
        self.lists.fullest(slots).or_else(|| {
            let spare = self.spare.take()?;
            self.lists.link_emptiest(spare);
            Some(spare)
        })
    }

    /// Takes as many slots as there are places, or as many as there are, lowest address first within each span. The places are
    /// filled from the last. Returns how many slots, and how many OS pages under them were released and will be faulted in again.
    #[inline]
    pub fn take(&mut self, class: usize, os_page_bytes: usize, places: &[AtomicUsize]) -> (usize, u32) {
        let info = info(class);
        let slot_bytes = info.slot_bytes as usize;
        let mut left = places.iter();
        let mut refaulted = 0;
        while left.len() != 0 {
            let Some(span) = self.fullest(info.slots) else { break };
            // SAFETY: under the class's lock; record and bitmap are disjoint.
            let (record, bitmap) = unsafe { (span.record(), span.bitmap()) };
            let before = left.len();
            if record.released_holes == 0 {
                take_from(bitmap, span.base(), slot_bytes, &mut left, |_| {});
            } else {
                take_from(bitmap, span.base(), slot_bytes, &mut left, |slot| {
                    let pages = holes::page_mask(slot - span.base(), slot_bytes, os_page_bytes);
                    refaulted += (record.released_holes & pages).count_ones();
                    record.released_holes &= !pages;
                });
            }
            let taken = before - left.len();
            record.free_slots -= taken as u16;
            self.free_slots -= taken;
            self.working_set.fell_to(self.free_slots);
            if record.free_slots == 0 {
                self.lists.unlink(span);
                self.unqueue_for_holes(span);
            }
        }
        (places.len() - left.len(), refaulted)
    }

    /// The span of a class that holds the slot at `address`; its shard says which central the slot goes back to.
    #[inline]
    pub fn span_of(map: &SpanMap, class: usize, address: usize) -> Result<Span, Misuse> {
        map.small_span(address, class).map(|(span, _)| span).ok_or(Misuse::Foreign(address))
    }

    /// Gives those slots back whose spans are in `shard`, which is this central's, and says how many: of those at and below `top`,
    /// down to a null. The others move up to the top, with a null below them. Spans that become empty are pushed onto
    /// `emptied`; the caller retires them.
    ///
    /// # Safety
    /// The words at and below `top`, down to one that is null, are the caller's.
    pub unsafe fn give(
        &mut self,
        (class, shard): (usize, usize),
        map: &SpanMap,
        top: *mut usize,
        tick: u32,
        emptied: &mut SpanChain,
    ) -> Result<usize, Misuse> {
        // Copied, so that they stay in registers while bitmaps are written.
        let info = *info(class);
        let slots_end = info.slots as usize * info.slot_bytes as usize;
        // The next to be looked at, and where the next that is not ours goes. Neither comes below the first null: a step down is made
        // from a word that was not null, and the second is never below the first.
        let (mut next, mut kept) = (top, top);
        loop {
            // SAFETY: the caller's word, as said above.
            let address = unsafe { *next };
            if address == 0 {
                break;
            }
            let (span, base) = map.small_span(address, class).ok_or(Misuse::Foreign(address))?;
            if span.shard() != shard {
                // SAFETY: as above; the word at `next` is not null.
                unsafe {
                    *kept = address;
                    (next, kept) = (next.sub(1), kept.sub(1));
                }
                continue;
            }
            // SAFETY: under the class's lock; record and bitmap are disjoint.
            let (record, bitmap) = unsafe { (span.record(), span.bitmap_of(&info)) };
            let first = next;
            // As many slots as follow each other in the same span: neighbours often come back together.
            loop {
                // SAFETY: as above. A null is in no span.
                let offset = unsafe { *next }.wrapping_sub(base);
                if offset >= slots_end {
                    break;
                }
                let Some(slot) = info.number_at(offset) else { break };
                // SAFETY: the offset is less than that of the last slot's end, so the number is one of the span's slots (`size_class`
                // tests it), and the bitmap has a bit for each.
                let word = unsafe { bitmap.get_unchecked_mut(slot / 64) };
                let free = *word | 1 << (slot % 64);
                if free == *word {
                    break;
                }
                *word = free;
                // SAFETY: as above; the word there is a slot.
                next = unsafe { next.sub(1) };
            }
            // SAFETY: both are in the caller's words.
            let given = unsafe { first.offset_from(next) } as usize;
            if given == 0 {
                return Err(misuse(&info, address, address.wrapping_sub(base)));
            }
            let before = record.free_slots;
            record.freed_tick = tick;
            record.free_slots += given as u16;
            self.free_slots += given;
            // Most spans are in their list and their queue already, and stay there.
            if before == 0 || record.free_slots as u32 == info.slots || !record.queued_for_holes {
                self.relist(span, info.slots, given as u16, true, emptied);
            }
        }
        // SAFETY: as above.
        unsafe {
            *kept = 0;
            Ok(kept.offset_from(next) as usize)
        }
    }

    /// Whether `address` is a slot of `span` that is not free there.
    #[cfg(debug_assertions)]
    pub fn check_live(&self, class: usize, span: Span, address: usize) -> Result<(), Misuse> {
        let slot = info(class).slot_at(address - span.base()).ok_or(Misuse::Foreign(address))?;
        // SAFETY: under the class's lock.
        let bitmap = unsafe { span.bitmap() };
        if bitmap[slot / 64] >> (slot % 64) & 1 == 1 { Err(Misuse::DoubleFree(address)) } else { Ok(()) }
    }

    /// After `added` slots of a span became free: lists it and, if asked, queues it, or hands it on as empty.
    pub(super) fn relist(&mut self, span: Span, slots: u32, added: u16, queue: bool, emptied: &mut SpanChain) {
        // SAFETY: under the class's lock.
        let record = unsafe { span.record() };
        if record.free_slots as u32 == slots {
            if record.free_slots > added {
                self.lists.unlink(span);
            }
            self.unqueue_for_holes(span);
            if self.spare.is_none() && record.released_holes == 0 {
                self.spare = Some(span);
            } else {
                self.free_slots -= slots as usize;
                self.working_set.fell_to(self.free_slots);
                self.spans -= 1;
                emptied.push(span);
            }
            return;
        }
        if record.free_slots == added {
            self.lists.link(span, record.free_slots, slots);
        }
        if queue && !record.queued_for_holes {
            self.queue_for_holes(span);
        }
    }

    /// The spare span, for the heap.
    pub fn take_spare(&mut self) -> Option<Span> {
        let span = self.spare.take()?;
        self.free_slots -= span.class_info().slots as usize;
        self.working_set.fell_to(self.free_slots);
        self.spans -= 1;
        Some(span)
    }
}
