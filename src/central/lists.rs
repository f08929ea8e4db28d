//! A central's lists: the spans with free slots, by occupancy. And chains: spans outside any list.
//!
//! A span moves between lists lazily. A free only counts the slot. A refill that finds a span in the wrong list moves the
//! span into the right list.
//!
//! Locks: the caller holds the central's lock around each function of the lists. The spans of a chain belong to the owner
//! of the chain.

use crate::span::Span;

/// The number of lists. List `i` holds spans with about `i / 8` of their slots free.
const BUCKETS: usize = 8;

/// A chain of spans outside any list, linked by `next`.
#[derive(Default)]
pub struct SpanChain {
    head: Option<Span>,
}

impl SpanChain {
    pub(super) fn push(&mut self, span: Span) {
        // SAFETY: the span is in no list and all its slots are free, so its record belongs to the owner of the chain.
        unsafe { span.record().next = self.head };
        self.head = Some(span);
    }

    /// Takes a span out of the chain.
    pub fn pop(&mut self) -> Option<Span> {
        let span = self.head?;
        // SAFETY: as in `push`.
        self.head = unsafe { span.record().next };
        Some(span)
    }
}

fn bucket(free_slots: u16, slots: u32) -> u8 {
    ((free_slots as u32 * BUCKETS as u32 / slots) as usize).min(BUCKETS - 1) as u8
}

/// The lists of a central.
pub(super) struct SpanLists {
    heads: [Option<Span>; BUCKETS],
}

impl SpanLists {
    /// No spans.
    pub(super) const fn new() -> Self {
        Self { heads: [None; BUCKETS] }
    }

    /// Adds a span to the list of the emptiest spans.
    pub(super) fn link_emptiest(&mut self, span: Span) {
        self.link_into(span, BUCKETS as u8 - 1);
    }

    /// Adds a span that has `free_slots` of its `slots` slots free.
    pub(super) fn link(&mut self, span: Span, free_slots: u16, slots: u32) {
        self.link_into(span, bucket(free_slots, slots));
    }

    fn link_into(&mut self, span: Span, list: u8) {
        // SAFETY: the caller holds the central's lock.
        let record = unsafe { span.record() };
        record.bucket = list;
        record.previous = None;
        record.next = self.heads[list as usize];
        if let Some(next) = record.next {
            // SAFETY: as above, and it is another span's record.
            unsafe { next.record().previous = Some(span) };
        }
        self.heads[list as usize] = Some(span);
    }

    /// Takes a span out of its list.
    pub(super) fn unlink(&mut self, span: Span) {
        // SAFETY: the caller holds the central's lock, and the three records differ.
        unsafe {
            let record = span.record();
            let (previous, next, list) = (record.previous.take(), record.next.take(), record.bucket);
            match previous {
                Some(previous) => previous.record().next = next,
                None => self.heads[list as usize] = next,
            }
            if let Some(next) = next {
                next.record().previous = previous;
            }
        }
    }

    /// The fullest span, which is in the right list now; `None` if the lists are empty.
    pub(super) fn fullest(&mut self, slots: u32) -> Option<Span> {
        for list in 0..BUCKETS {
            while let Some(span) = self.heads[list] {
                // SAFETY: the caller holds the central's lock.
                let right = bucket(unsafe { span.record() }.free_slots, slots);
                if right as usize <= list {
                    return Some(span);
                }
                self.unlink(span);
                self.link_into(span, right);
            }
        }
        None
    }
}
