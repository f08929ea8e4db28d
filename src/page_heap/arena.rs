//! The arena: address space reserved in large steps, backed as the heap grows.
//!
//! A step is 64 GiB of inaccessible address space where the kernel places it, which is random; the heap begins at a random
//! chunk inside. Backing makes the next part of the step accessible, 64 MiB at a time, so growing by a chunk rarely makes a
//! system call. Where the process has a limit on address space, or on data, both steps are a share of what the limit leaves
//! (`sys::limits`), or what is asked for if that is more: the heap's tables and the program's thread stacks need room too. The
//! span map's tables are large beside such a heap, one for each region. So a small reservation goes right below the one
//! before, and the first to the end of a region. A reservation that is refused all the same is halved until it is granted or
//! too small for the request.
//!
//! Locks: none of its own; the arena is part of what the heap lock protects. Its system calls are the one exception to
//! "no system call under a lock": the thread that grows the heap must be sure of its span.

use core::ptr::NonNull;

use crate::span::{REGION_BYTES, REGION_METADATA_BYTES};
use crate::sys;
use crate::units::{CHUNK_BYTES, Chunk, Page, Run};

/// Address space reserved at a time.
const RESERVATION_BYTES: usize = if cfg!(loom) { 16 * CHUNK_BYTES } else { 64 << 30 };
/// Memory made accessible at a time.
const BACKING_BYTES: usize = if cfg!(loom) { CHUNK_BYTES } else { 64 << 20 };
/// The heap begins this many chunks into a full reservation at most.
const RANDOM_CHUNKS: usize = if cfg!(loom) { 1 } else { 256 };

/// What growing gave.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// Whole chunks, accessible and never touched.
    pub run: Run,
    /// What was left of the reservation before, if it was given up; accessible as well.
    pub rest: Option<Run>,
}

/// The current reservation.
pub struct Arena {
    /// Where the next growth begins.
    next: usize,
    /// Up to where memory is accessible.
    backed_end: usize,
    /// Where the reservation ends.
    end: usize,
    /// Where the reservation begins; 0 before there is one.
    base: usize,
    reserved_bytes: usize,
    is_short: bool,
}

impl Arena {
    /// No address space yet.
    pub const fn new() -> Self {
        Self { next: 0, backed_end: 0, end: 0, base: 0, reserved_bytes: 0, is_short: false }
    }

    /// Address space reserved so far.
    pub fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    /// Whether address space is short: a reservation was smaller than it should be.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// The end of the memory that is accessible in the current reservation.
    pub fn accessible_end(&self) -> usize {
        self.backed_end
    }

    /// Takes whole chunks with room for `bytes`; `None` if the OS gives no more.
    pub fn grow(&mut self, bytes: usize) -> Option<Growth> {
        let bytes = bytes.checked_next_multiple_of(CHUNK_BYTES)?;
        let mut rest = None;
        if self.end - self.next < bytes {
            let left = (self.next, self.end - self.next);
            let reservation = reserve(bytes, self.base)?;
            if left.1 != 0 && self.back(left.0, left.1) {
                rest = Some(run(left.0, left.1));
            }
            (self.next, self.backed_end, self.end) = (reservation.begin, reservation.begin, reservation.end);
            self.base = reservation.base;
            self.reserved_bytes += reservation.end - reservation.begin;
            self.is_short |= reservation.is_short;
        }
        let base = self.next;
        if !self.back(base, bytes) {
            return rest.map(|rest| Growth { run: Run { first: rest.first, pages: 0 }, rest: Some(rest) });
        }
        self.next += bytes;
        Some(Growth { run: run(base, bytes), rest })
    }

    /// Takes back what the last [`Arena::grow`] gave and the heap could not use. The rest of an earlier reservation does not
    /// come back: address space is lost then, but no memory.
    pub fn give_back(&mut self, run: Run) {
        if run.end().address() == self.next {
            self.next = run.first.address();
        }
    }

    /// Makes `bytes` from `base` accessible, and what follows up to the next step.
    fn back(&mut self, base: usize, bytes: usize) -> bool {
        let end = base + bytes;
        if end <= self.backed_end {
            return true;
        }
        let from = self.backed_end;
        let ahead = BACKING_BYTES.min(sys::limits::data_share() & !(CHUNK_BYTES - 1));
        let generous = end.max(from.saturating_add(ahead)).min(self.end);
        for to in [generous, end] {
            let Some(start) = NonNull::new(core::ptr::with_exposed_provenance_mut(from)) else { return false };
            // SAFETY: the range lies in the current reservation, above everything that was made accessible before.
            if unsafe { sys::vm::back_in_growth(start, to - from) } {
                self.backed_end = to;
                return true;
            }
        }
        false
    }
}

fn run(base: usize, bytes: usize) -> Run {
    let first = Page::containing(base);
    Run { first, pages: Chunk(bytes / CHUNK_BYTES).first_page().0 }
}

/// A heap address as a pointer.
pub fn pointer(address: usize) -> NonNull<u8> {
    // SAFETY: heap addresses lie in a reservation, and no reservation is at 0.
    unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(address)) }
}

/// Address space just reserved.
struct Reservation {
    base: usize,
    end: usize,
    /// Where the heap begins in it.
    begin: usize,
    /// Whether it is smaller than it should be.
    is_short: bool,
}

/// Reserves address space for at least `bytes`. The reservation before begins at `before`; 0 if there is none.
fn reserve(bytes: usize, before: usize) -> Option<Reservation> {
    let share = sys::limits::address_space_share() & !(CHUNK_BYTES - 1);
    let mut size = RESERVATION_BYTES.min(share).max(bytes);
    loop {
        let is_short = size < RESERVATION_BYTES;
        let place = if is_short { reserve_beside(size, before) } else { None };
        if let Some(base) = place.or_else(|| sys::vm::reserve(size, CHUNK_BYTES)) {
            let base = base.as_ptr().expose_provenance();
            let skipped = if is_short || size - bytes <= RANDOM_CHUNKS * CHUNK_BYTES { 0 } else { skipped(base) };
            return Some(Reservation { base, end: base + size, begin: base + skipped, is_short });
        }
        if size == bytes {
            return None;
        }
        size = (size / 2).max(bytes) & !(CHUNK_BYTES - 1);
    }
}

/// Reserves `size` bytes where no further region of the span map begins, if that is possible.
fn reserve_beside(size: usize, before: usize) -> Option<NonNull<u8>> {
    let end = if before == 0 { sys::vm::free_address()? & !(REGION_BYTES - 1) } else { before };
    sys::vm::reserve_below(end, size)
}

/// How far into a full reservation the heap begins.
fn skipped(base: usize) -> usize {
    if sys::limits::data_share() < REGION_METADATA_BYTES {
        // So that it comes to the next region as late as can be.
        return base.next_multiple_of(REGION_BYTES) - base;
    }
    sys::random_bits() as usize % RANDOM_CHUNKS * CHUNK_BYTES
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_random_beginning_does_not_make_address_space_short() {
        let mut arena = Arena::new();
        assert!(!arena.is_short());
        arena.grow(1).unwrap();
        assert!(!arena.is_short() && arena.reserved_bytes() <= RESERVATION_BYTES);
    }
}
