//! A span: a run of pages that holds the slots of one size class, or one large object.
//!
//! A span's record lies outside the span, in the span map, at the place of the span's first page. The span's free bitmap
//! follows, at the places of the other pages. So free memory is never written, and the record of a released span costs
//! nothing once the records of its block of pages are released too.
//!
//! Invariants:
//! 1. A record is live from `SpanMap::create` to `SpanMap::retire`. In between it does not move.
//! 2. The fields and the bitmap of a small span belong to whoever holds the lock of the span's central. The fields of a
//!    large span belong to the owner of the object. While a slot of the span is out, `state`, `first_page` and `pages` do
//!    not change, except that the owner of a large object may resize its span.
//! 3. A bit of the free bitmap is set exactly while the slot is neither with a user, nor in a magazine, nor in flight.
//!
//! Orderings: the Release of `state` is for look-ups of foreign pointers. All other accesses are Relaxed. The lock or the
//! owner of invariant 2 orders them. For a look-up, the hand-over of the object to the thread that frees it orders them.
//!
//! Locks: none here. See invariant 2.

use core::ptr::NonNull;

use crate::size_class::{ClassInfo, info};
use crate::sync::plain::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use crate::units::{PAGE_BYTES, Page, Run, SHARDS};

/// Bytes of a span's record. The span map has a place of this size for each heap page.
pub const RECORD_BYTES: usize = 64;

/// The record belongs to no span.
pub const STATE_DEAD: u8 = 0;
/// The span holds slots of a size class.
pub const STATE_SMALL: u8 = 1;
/// The span is one large object.
pub const STATE_LARGE: u8 = 2;

/// A span's record. All zero bytes mean a dead record.
#[repr(C, align(64))]
pub struct Record {
    /// The next span in a list of the central.
    pub next: Option<Span>,
    /// The previous span in a list of the central.
    pub previous: Option<Span>,
    /// The next span in the central's queue of spans with new holes.
    pub next_with_holes: Option<Span>,
    /// The previous span in the central's queue of spans with new holes.
    pub previous_with_holes: Option<Span>,
    /// The released holes: OS pages that are released although the span is in use. Bit 0 is the span's lowest OS page.
    pub released_holes: u64,
    /// The number of the span's first page. Written before the span is published, and read by look-ups.
    first_page: AtomicUsize,
    /// Pages in the span.
    pages: AtomicU32,
    /// Free slots: the population count of the bitmap.
    pub free_slots: u16,
    /// One of the `STATE_` values.
    state: AtomicU8,
    /// The size class of a small span.
    class: AtomicU8,
    /// The shard of a small span: its slots go back to this shard's central.
    shard: AtomicU8,
    /// The central's list that holds the span (see `central::lists`).
    pub bucket: u8,
    /// Whether the span is in the queue of spans with new holes.
    pub queued_for_holes: bool,
    /// The tick in which slots of the span were last freed. It wraps: only differences count.
    pub freed_tick: u32,
}

const _: () = assert!(size_of::<Record>() == RECORD_BYTES);

/// A handle to a span's live record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Span(NonNull<Record>);

// SAFETY: a handle is only an address. Invariant 2 says who may use the record through it.
unsafe impl Send for Span {}

impl Span {
    /// The handle to `record`.
    ///
    /// # Safety
    /// `record` is a record inside the span map, valid for reads and writes for the life of the heap.
    pub unsafe fn from_record(record: NonNull<Record>) -> Self {
        Self(record)
    }

    /// The record.
    ///
    /// # Safety
    /// The caller may use the record's fields by invariant 2, and keeps no other reference to them meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the handle stands for the record; the caller answers for uniqueness")]
    pub unsafe fn record<'a>(self) -> &'a mut Record {
        // SAFETY: the pointer is valid by `from_record`. The caller's contract says that the reference is the only one.
        unsafe { &mut *self.0.as_ptr() }
    }

    fn shared(&self) -> &Record {
        // SAFETY: the pointer is valid by `from_record`. This file uses only atomic fields through the reference.
        unsafe { self.0.as_ref() }
    }

    /// The record's state.
    #[inline]
    pub fn state(self) -> u8 {
        // SAFETY: the record is valid by `from_record`, and the field is an atomic.
        unsafe { (*self.0.as_ptr()).state.load(Ordering::Relaxed) }
    }

    /// The size class of a small span.
    #[inline]
    pub fn class(self) -> usize {
        // SAFETY: as in `state`.
        unsafe { (*self.0.as_ptr()).class.load(Ordering::Relaxed) as usize }
    }

    /// The shard of a small span. It stays the same while the span is live.
    #[inline]
    pub fn shard(self) -> usize {
        // SAFETY: as in `state`.
        let shard = unsafe { (*self.0.as_ptr()).shard.load(Ordering::Relaxed) as usize };
        // A free that races with the end of its span is a misuse, and may read any value here.
        shard & (SHARDS - 1)
    }

    /// Puts a fresh span into a shard.
    ///
    /// # Safety
    /// The caller owns the span: no slot of it was handed out yet.
    pub unsafe fn set_shard(self, shard: usize) {
        self.shared().shard.store(shard as u8, Ordering::Relaxed);
    }

    /// The class info of a small span.
    #[inline]
    pub fn class_info(self) -> &'static ClassInfo {
        info(self.class())
    }

    /// The span's pages.
    #[inline]
    pub fn run(self) -> Run {
        // SAFETY: as in `state`.
        let (first, pages) = unsafe {
            ((*self.0.as_ptr()).first_page.load(Ordering::Relaxed), (*self.0.as_ptr()).pages.load(Ordering::Relaxed))
        };
        Run { first: Page(first), pages: pages as usize }
    }

    /// The address of the span's first byte.
    #[inline]
    pub fn base(self) -> usize {
        self.run().first.address()
    }

    /// Whether `address` lies in the span.
    #[inline]
    pub fn contains(self, address: usize) -> bool {
        let run = self.run();
        address.wrapping_sub(run.first.address()) < run.pages * PAGE_BYTES
    }

    /// Makes the record live. The free bitmap is not touched.
    ///
    /// # Safety
    /// The record is dead and is the record of `run`'s first page. The caller owns the pages of `run`.
    pub unsafe fn make_live(self, run: Run, state: u8, class: u8) {
        // SAFETY: the caller owns the pages of the dead record, so nobody else uses the record.
        let record = unsafe { self.record() };
        record.next = None;
        record.previous = None;
        record.next_with_holes = None;
        record.previous_with_holes = None;
        record.released_holes = 0;
        record.first_page.store(run.first.0, Ordering::Relaxed);
        record.pages.store(run.pages as u32, Ordering::Relaxed);
        record.free_slots = 0;
        record.class.store(class, Ordering::Relaxed);
        record.bucket = 0;
        record.queued_for_holes = false;
        record.freed_tick = 0;
        // Release: a look-up of a foreign pointer that reads the new state also reads the new run.
        record.state.store(state, Ordering::Release);
    }

    /// Makes the record dead.
    ///
    /// # Safety
    /// The caller owns the span's pages. No slot is out, and the span is in no list.
    pub unsafe fn make_dead(self) {
        self.shared().state.store(STATE_DEAD, Ordering::Relaxed);
    }

    /// Changes the length of a large span.
    ///
    /// # Safety
    /// The caller owns the large object and all pages of the new length.
    pub unsafe fn set_pages(self, pages: usize) {
        self.shared().pages.store(pages as u32, Ordering::Relaxed);
    }

    /// The words of a small span's free bitmap.
    ///
    /// # Safety
    /// As for [`Span::record`].
    pub unsafe fn bitmap<'a>(self) -> &'a mut [u64] {
        // SAFETY: the caller's contract.
        unsafe { self.bitmap_of(self.class_info()) }
    }

    /// The words of a small span's free bitmap, for a caller that has the class info at hand.
    ///
    /// # Safety
    /// As for [`Span::record`]. `info` is the class info of the span's class.
    #[inline]
    pub unsafe fn bitmap_of<'a>(self, info: &ClassInfo) -> &'a mut [u64] {
        let words = (info.slots as usize).div_ceil(64);
        // SAFETY:
        // - The records of the span's pages after the first have a bit for each slot: the build rule gives a class no more
        //   slots (`size_class` tests it).
        // - These records belong to the span while it is live.
        // - The caller's contract says that the reference is the only one.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_ptr().cast::<u8>().add(RECORD_BYTES).cast::<u64>(), words) }
    }
}
