//! A central: the spans of one size class and one shard that have free slots.
//!
//! A refill takes slots from the fullest span, and the lowest slots of the span first. So the other spans run empty and go
//! back to their page heaps as a whole. `lists` keeps the spans by occupancy.
//!
//! A span belongs to the shard that made it, and its slots come back to this shard's central, whichever thread frees them.
//! `give` takes the slots of its own shard out of a magazine and leaves the other slots to the caller. Threads of other
//! shards take slots only from a central's excess ([`Central::has_excess`]).
//!
//! Pages without a live slot (holes) can be released while the span stays in use: see `hole_queue`.
//!
//! Invariants:
//! 1. Whenever the lock is free, a span is in a list exactly if some but not all of its slots are free. A span with all
//!    slots free is the spare, or it goes to the caller, who retires it.
//! 2. A record's `free_slots` is the population count of its bitmap. A slot in flight has its bit clear.
//! 3. An OS page that is marked in `released_holes` holds no slot that is out. A refill that takes a slot on the page
//!    clears the mark.
//!
//! Orderings: slots are stored Relaxed into places of the caller, who publishes them.
//!
//! Locks: each central has its own lock (rank central). No lock is taken and no system call is made under it.

use crate::accounts::working_set::WorkingSet;
use crate::holes;
use crate::size_class::info;
use crate::span::{Span, SpanMap};
use crate::sync::atomic::{AtomicUsize, Ordering};

use super::lists::{SpanChain, SpanLists};
use super::misuse::{Misuse, misuse};

/// A central keeps a smaller excess than this for its own shard, because slots that threads of two shards use in turn share
/// cache lines. See [`Central::has_excess`].
pub(super) const LEAST_EXCESS_BYTES: usize = if cfg!(loom) { 1 } else { 32 << 10 };
/// A central also keeps an excess that is at most this part of all its slots.
pub(super) const LEAST_EXCESS_PART: usize = 8;
/// The most bytes of a central's free slots that may all be in processors' caches.
pub(super) const MOST_CACHED_BYTES: usize = 8 << 20;

/// The spans of a class and a shard that have free slots. Whoever has `&mut self` holds the central's lock, and so owns the
/// records of the central's spans.
pub struct Central {
    pub(super) lists: SpanLists,
    /// The queue of spans with slots freed since their holes were last taken: the oldest span.
    pub(super) holes_head: Option<Span>,
    /// The newest span of the queue.
    pub(super) holes_tail: Option<Span>,
    /// One span with all slots free. It is kept so that a class whose demand swings around a whole number of spans does not
    /// make and retire a span each time.
    spare: Option<Span>,
    /// Free slots in all spans of the class and the shard, also in the spare.
    pub(super) free_slots: usize,
    /// All spans of the class and the shard, also spans without a free slot.
    pub(super) spans: usize,
    /// The working set of the free slots.
    working_set: WorkingSet,
}

// SAFETY: the records of the spans belong to the holder of the lock around this value (invariant 2 of `span::record`).
unsafe impl Send for Central {}

/// Moves slots out of a bitmap into the places, last place first. Calls `taken` with each slot.
#[inline(always)]
fn take_from_bitmap(
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
    /// A central without spans.
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

    /// Free slots in the central's spans.
    pub fn free_slots(&self) -> usize {
        self.free_slots
    }

    /// Whether the central's excess is so large that threads of other shards should use it before they make a span.
    pub fn has_excess(&mut self, class: usize, epoch: u32) -> bool {
        let info = info(class);
        let slot_bytes = info.slot_bytes as usize;
        let excess = self.working_set.excess(epoch, self.free_slots, MOST_CACHED_BYTES / slot_bytes);
        excess * slot_bytes >= LEAST_EXCESS_BYTES && LEAST_EXCESS_PART * excess > self.spans * info.slots as usize
    }

    /// Does [`Central::take`] for a thread of another shard; `None` if this central has no excess to give.
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

    /// Adds a fresh span. All its slots are free.
    pub fn add(&mut self, span: Span) {
        self.fill(span);
        self.lists.link_emptiest(span);
    }

    /// Keeps a fresh span as the spare. `false` if there is a spare already: then the caller goes on owning the span.
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
        // SAFETY: the caller owns the fresh span, and gives it to this central. Record and bitmap are disjoint.
        let (record, bitmap) = unsafe { (span.record(), span.bitmap()) };
        bitmap.fill(u64::MAX);
        if let (Some(last), tail @ 1..) = (bitmap.last_mut(), slots % 64) {
            *last = (1 << tail) - 1;
        }
        record.free_slots = slots as u16;
        self.free_slots += slots;
        self.spans += 1;
    }

    /// The fullest span, or the spare if no other span has a free slot.
    #[inline]
    fn fullest(&mut self, slots: u32) -> Option<Span> {
        self.lists.fullest(slots).or_else(|| {
            let spare = self.spare.take()?;
            self.lists.link_emptiest(spare);
            Some(spare)
        })
    }

    /// Takes a slot for each place, as long as there are slots: the lowest slots of each span first. Fills the last place
    /// first. Returns how many slots it took, and how many released OS pages lie under them and will be faulted in again.
    #[inline]
    pub fn take(&mut self, class: usize, os_page_bytes: usize, places: &[AtomicUsize]) -> (usize, u32) {
        let info = info(class);
        let slot_bytes = info.slot_bytes as usize;
        let mut left = places.iter();
        let mut refaulted = 0;
        while left.len() != 0 {
            let Some(span) = self.fullest(info.slots) else { break };
            // SAFETY: the caller holds the central's lock. Record and bitmap are disjoint.
            let (record, bitmap) = unsafe { (span.record(), span.bitmap()) };
            let before = left.len();
            if record.released_holes == 0 {
                take_from_bitmap(bitmap, span.base(), slot_bytes, &mut left, |_| {});
            } else {
                take_from_bitmap(bitmap, span.base(), slot_bytes, &mut left, |slot| {
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

    /// The span of a class that holds the slot at `address`. The slot goes back to the central of the span's shard.
    #[inline]
    pub fn span_of(map: &SpanMap, class: usize, address: usize) -> Result<Span, Misuse> {
        map.small_span(address, class).map(|(span, _)| span).ok_or(Misuse::Foreign(address))
    }

    /// Takes slots back from the words at and below `top`, down to a null. `shard` is this central's shard.
    ///
    /// Only slots whose spans are in `shard` come back, and their number is returned. The other slots move up to `top`,
    /// with a null below them. Spans that become empty are pushed onto `emptied`, and the caller retires them.
    ///
    /// # Safety
    /// The caller owns the words at and below `top`, down to the first null word.
    pub unsafe fn give(
        &mut self,
        (class, shard): (usize, usize),
        map: &SpanMap,
        top: *mut usize,
        tick: u32,
        emptied: &mut SpanChain,
    ) -> Result<usize, Misuse> {
        // The class info is copied, so its fields stay in registers while bitmaps are written.
        let info = *info(class);
        let slots_end = info.slots as usize * info.slot_bytes as usize;
        // `next` is the word to look at. `kept` is the place for the next slot of another shard. Neither comes below the
        // first null: `next` steps down only from a word that was not null, and `kept` is never below `next`.
        let (mut next, mut kept) = (top, top);
        loop {
            // SAFETY: `next` is at or above the first null, so the caller owns the word.
            let address = unsafe { *next };
            if address == 0 {
                break;
            }
            let (span, base) = map.small_span(address, class).ok_or(Misuse::Foreign(address))?;
            if span.shard() != shard {
                // SAFETY: as above for both words. The word at `next` is not null, so the word below is at or above the
                // first null.
                unsafe {
                    *kept = address;
                    (next, kept) = (next.sub(1), kept.sub(1));
                }
                continue;
            }
            // SAFETY: the caller holds the central's lock, and the span is in this central's shard. Record and bitmap are
            // disjoint.
            let (record, bitmap) = unsafe { (span.record(), span.bitmap_of(&info)) };
            let first = next;
            // Takes all slots that follow each other in the same span: neighbours often come back together.
            loop {
                // SAFETY: as above. The loop ends at a null, because a null is in no span.
                let offset = unsafe { *next }.wrapping_sub(base);
                if offset >= slots_end {
                    break;
                }
                let Some(slot) = info.number_at(offset) else { break };
                // SAFETY: the offset is below the end of the last slot, so `slot` is the number of a slot of the span
                // (`size_class` tests it). The bitmap has a bit for each slot.
                let word = unsafe { bitmap.get_unchecked_mut(slot / 64) };
                let free = *word | 1 << (slot % 64);
                if free == *word {
                    break;
                }
                *word = free;
                // SAFETY: the word at `next` is a slot and not null, so the word below is at or above the first null.
                next = unsafe { next.sub(1) };
            }
            // SAFETY: both pointers are into the caller's words.
            let given = unsafe { first.offset_from(next) } as usize;
            if given == 0 {
                return Err(misuse(&info, address, address.wrapping_sub(base)));
            }
            let before = record.free_slots;
            record.freed_tick = tick;
            record.free_slots += given as u16;
            self.free_slots += given;
            // Most spans are in a list and in the queue already, and stay there.
            if before == 0 || record.free_slots as u32 == info.slots || !record.queued_for_holes {
                self.relist(span, info.slots, given as u16, true, emptied);
            }
        }
        // SAFETY: `kept` is at or above `next`, which is at the first null. The caller owns the words between them.
        unsafe {
            *kept = 0;
            Ok(kept.offset_from(next) as usize)
        }
    }

    /// Checks that `address` is a slot of `span` and is not free in the span.
    #[cfg(debug_assertions)]
    pub fn check_live(&self, class: usize, span: Span, address: usize) -> Result<(), Misuse> {
        let slot = info(class).slot_at(address - span.base()).ok_or(Misuse::Foreign(address))?;
        // SAFETY: the caller holds the central's lock.
        let bitmap = unsafe { span.bitmap() };
        if bitmap[slot / 64] >> (slot % 64) & 1 == 1 { Err(Misuse::DoubleFree(address)) } else { Ok(()) }
    }

    /// Puts a span where it belongs after `added` of its slots became free: into a list, and into the queue for holes if
    /// `queue` is set. A span whose slots are all free becomes the spare or is pushed onto `emptied`.
    pub(super) fn relist(&mut self, span: Span, slots: u32, added: u16, queue: bool, emptied: &mut SpanChain) {
        // SAFETY: the caller holds the central's lock.
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

    /// Takes the spare: the caller retires it.
    pub fn take_spare(&mut self) -> Option<Span> {
        let span = self.spare.take()?;
        self.free_slots -= span.class_info().slots as usize;
        self.working_set.fell_to(self.free_slots);
        self.spans -= 1;
        Some(span)
    }
}
