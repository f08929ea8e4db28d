//! The arena: address space that is reserved in large steps, and made accessible as the page heap grows.
//!
//! A reservation is 64 GiB of inaccessible address space. The kernel chooses its place at random, and the page heap begins
//! at a random chunk inside. The next part of the reservation is made accessible 64 MiB at a time, so a growth by one chunk
//! rarely makes a system call.
//!
//! If the process has a limit on address space or on data, both steps are only a share of what the limit leaves
//! (`sys::limits`), but never less than the request: the heap's tables and the program's thread stacks need room too. The
//! span map has one table for each region, and the tables are large beside such a small heap. So the first small
//! reservation ends at the end of a region, and each further one ends where the reservation before begins. A reservation
//! that the kernel refuses is halved until the kernel grants it, or until it is too small for the request.
//!
//! Locks: none of its own. The heap lock protects the arena. Its system calls are the one exception to "no system call
//! under a lock", because the thread that grows the page heap must be sure of its run.

use core::ptr::NonNull;

use crate::span::{REGION_BYTES, REGION_METADATA_BYTES};
use crate::sys;
use crate::units::{CHUNK_BYTES, Chunk, Page, Run};

/// Bytes of a full reservation.
const RESERVATION_BYTES: usize = if cfg!(loom) { 16 * CHUNK_BYTES } else { 64 << 30 };
/// Bytes that are made accessible at a time.
const BACKING_BYTES: usize = if cfg!(loom) { CHUNK_BYTES } else { 64 << 20 };
/// The page heap begins less than this many chunks into a full reservation.
const RANDOM_CHUNKS: usize = if cfg!(loom) { 1 } else { 256 };

/// The memory that a growth gave.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// Whole chunks, accessible and never touched.
    pub run: Run,
    /// The rest of the reservation before, if that reservation was given up. It is accessible, too.
    pub rest: Option<Run>,
}

/// The arena of a page heap, with its current reservation.
pub struct Arena {
    /// The address at which the next growth begins.
    next: usize,
    /// The end of the accessible memory.
    accessible_end: usize,
    /// The end of the reservation.
    end: usize,
    /// The beginning of the reservation; 0 before there is a reservation.
    base: usize,
    reserved_bytes: usize,
    is_short: bool,
}

impl Arena {
    /// No address space yet.
    pub const fn new() -> Self {
        Self { next: 0, accessible_end: 0, end: 0, base: 0, reserved_bytes: 0, is_short: false }
    }

    /// Bytes of address space reserved so far.
    pub fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    /// Whether address space is short: some reservation was smaller than a full one.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// The end of the accessible memory in the current reservation.
    pub fn accessible_end(&self) -> usize {
        self.accessible_end
    }

    /// Takes whole chunks with room for `bytes`; `None` if the OS gives no more memory.
    pub fn grow(&mut self, bytes: usize) -> Option<Growth> {
        let bytes = bytes.checked_next_multiple_of(CHUNK_BYTES)?;
        let mut rest = None;
        if self.end - self.next < bytes {
            let left = (self.next, self.end - self.next);
            let reservation = reserve(bytes, self.base)?;
            if left.1 != 0 && self.make_accessible(left.0, left.1) {
                rest = Some(run(left.0, left.1));
            }
            (self.next, self.accessible_end, self.end) = (reservation.begin, reservation.begin, reservation.end);
            self.base = reservation.base;
            self.reserved_bytes += reservation.end - reservation.begin;
            self.is_short |= reservation.is_short;
        }
        let base = self.next;
        if !self.make_accessible(base, bytes) {
            return rest.map(|rest| Growth { run: Run { first: rest.first, pages: 0 }, rest: Some(rest) });
        }
        self.next += bytes;
        Some(Growth { run: run(base, bytes), rest })
    }

    /// Takes back a run that the last [`Arena::grow`] gave and the page heap could not use. The rest of an earlier
    /// reservation does not come back: this loses address space, but no memory.
    pub fn give_back(&mut self, run: Run) {
        if run.end().address() == self.next {
            self.next = run.first.address();
        }
    }

    /// Makes `bytes` from `base` accessible, and memory ahead of them. `false` if the OS refuses.
    fn make_accessible(&mut self, base: usize, bytes: usize) -> bool {
        let end = base + bytes;
        if end <= self.accessible_end {
            return true;
        }
        let from = self.accessible_end;
        let ahead = BACKING_BYTES.min(sys::limits::data_share() & !(CHUNK_BYTES - 1));
        let generous = end.max(from.saturating_add(ahead)).min(self.end);
        for to in [generous, end] {
            let Some(start) = NonNull::new(core::ptr::with_exposed_provenance_mut(from)) else { return false };
            // SAFETY: the range lies in the current reservation, above all memory that was made accessible before.
            if unsafe { sys::vm::back_in_growth(start, to - from) } {
                self.accessible_end = to;
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

/// The pointer to an address of the heap.
pub fn pointer(address: usize) -> NonNull<u8> {
    // SAFETY: an address of the heap lies in a reservation, and no reservation begins at 0.
    unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(address)) }
}

/// Address space just reserved.
struct Reservation {
    base: usize,
    end: usize,
    /// The address at which the page heap begins.
    begin: usize,
    /// Whether it is smaller than a full reservation.
    is_short: bool,
}

/// Reserves at least `bytes` of address space. The reservation before begins at `before`; 0 if there is none.
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

/// Reserves `size` bytes below the reservation before, or below the end of a region. So the heap touches few regions of the
/// span map. `None` if the place is not free.
fn reserve_beside(size: usize, before: usize) -> Option<NonNull<u8>> {
    let end = if before == 0 { sys::vm::free_address()? & !(REGION_BYTES - 1) } else { before };
    sys::vm::reserve_below(end, size)
}

/// How many bytes of a full reservation lie before the beginning of the page heap.
fn skipped(base: usize) -> usize {
    if sys::limits::data_share() < REGION_METADATA_BYTES {
        // Data is limited. The page heap begins with a region, so it comes to the next region as late as possible.
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
