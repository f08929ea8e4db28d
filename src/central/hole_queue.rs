//! The queue of spans that may have new holes, and the slots in flight while holes are released. A hole is an OS page of a
//! span in use that holds no live slot.
//!
//! A span is queued when slots of it are freed, oldest first. So a look for holes costs what has changed, not what the
//! central has. `take_holes` makes the slots on a hole unavailable. The caller releases the pages without any lock.
//! `return_holes` gives the slots back and marks the pages as released.
//!
//! Invariants: those of `class`. In addition, a span is in the queue only while it is in a list.
//!
//! Locks: the caller holds the central's lock around each function.

use crate::holes;
use crate::size_class::info;
use crate::span::Span;
use crate::units::PAGE_BYTES;

use super::class::Central;
use super::lists::SpanChain;
use super::misuse::Misuse;

/// Holes of a span while they are released.
#[derive(Clone, Copy)]
pub struct Holes {
    /// The span.
    pub span: Span,
    /// The OS pages to release. Bit 0 is the span's first OS page.
    pub pages: u64,
    /// How many slots are in flight meanwhile: no refill can take them.
    pub slots: u16,
}

/// How many spans a search for holes may still look at while it holds the central's lock.
#[derive(Clone, Copy)]
pub struct Visits {
    /// Spans that may still be looked at.
    pub left: u32,
    /// Whether a span was old enough and left the queue, so the queue is shorter than before.
    pub progressed: bool,
}

impl Visits {
    /// As many spans as a short critical section allows.
    pub const fn new() -> Self {
        Self { left: 256, progressed: false }
    }

    /// Whether the search ended early and another search would get further.
    pub fn worth_another(&self) -> bool {
        self.left == 0 && self.progressed
    }
}

impl Central {
    pub(super) fn queue_for_holes(&mut self, span: Span) {
        // SAFETY: the caller holds the central's lock, and the two records differ.
        unsafe {
            let record = span.record();
            record.queued_for_holes = true;
            record.next_with_holes = None;
            record.previous_with_holes = self.holes_tail;
            match self.holes_tail {
                Some(tail) => tail.record().next_with_holes = Some(span),
                None => self.holes_head = Some(span),
            }
        }
        self.holes_tail = Some(span);
    }

    pub(super) fn unqueue_for_holes(&mut self, span: Span) {
        // SAFETY: the caller holds the central's lock, and the three records differ.
        unsafe {
            let record = span.record();
            if !record.queued_for_holes {
                return;
            }
            record.queued_for_holes = false;
            let (previous, next) = (record.previous_with_holes.take(), record.next_with_holes.take());
            match previous {
                Some(previous) => previous.record().next_with_holes = next,
                None => self.holes_head = next,
            }
            match next {
                Some(next) => next.record().previous_with_holes = previous,
                None => self.holes_tail = previous,
            }
        }
    }

    /// Whether the queue holds a span: slots were freed since the span's holes were last taken.
    pub fn has_new_holes(&self) -> bool {
        self.holes_head.is_some()
    }

    /// Takes the new holes of the oldest queued span whose last free is at least `age` ticks ago. The slots on the holes
    /// become unavailable. `None` if no queued span has such holes, or if `visits` ran out. Each span that is looked at
    /// costs one visit, because the queue may be as long as the heap, and the central's lock is held.
    pub fn take_holes(
        &mut self,
        class: usize,
        os_page_bytes: usize,
        (tick, age): (u32, u32),
        visits: &mut Visits,
    ) -> Option<Holes> {
        if os_page_bytes > PAGE_BYTES {
            return None;
        }
        let info = info(class);
        while visits.left != 0 {
            let span = self.holes_head?;
            visits.left -= 1;
            self.unqueue_for_holes(span);
            // SAFETY: the caller holds the central's lock. Record and bitmap are disjoint.
            let (record, bitmap) = unsafe { (span.record(), span.bitmap()) };
            if tick.wrapping_sub(record.freed_tick) < age {
                // The span is too young. It goes to the end of the queue, because the others may be older.
                self.queue_for_holes(span);
                continue;
            }
            visits.progressed = true;
            let pages = holes::free_pages(bitmap, info, os_page_bytes) & !record.released_holes;
            if pages == 0 {
                continue;
            }
            let slots = holes::clear_slots(bitmap, info, os_page_bytes, pages) as u16;
            record.free_slots -= slots;
            self.free_slots -= slots as usize;
            if record.free_slots == 0 {
                self.lists.unlink(span);
            }
            return Some(Holes { span, pages, slots });
        }
        None
    }

    /// Gives the slots of `take_holes` back. `released` says whether the kernel released the pages. A span that became
    /// empty meanwhile is pushed onto `emptied`.
    pub fn return_holes(
        &mut self,
        class: usize,
        os_page_bytes: usize,
        holes: Holes,
        released: bool,
        emptied: &mut SpanChain,
    ) -> Result<(), Misuse> {
        // SAFETY: the caller holds the central's lock. Record and bitmap are disjoint.
        let (record, bitmap) = unsafe { (holes.span.record(), holes.span.bitmap()) };
        if holes::set_slots(bitmap, info(class), os_page_bytes, holes.pages) != holes.slots as usize {
            // A slot was freed while it was in flight, so it had been free before.
            return Err(Misuse::DoubleFree(holes.span.base()));
        }
        record.free_slots += holes.slots;
        self.free_slots += holes.slots as usize;
        if released {
            record.released_holes |= holes.pages;
        }
        self.relist(holes.span, info(class).slots, holes.slots, false, emptied);
        Ok(())
    }
}
