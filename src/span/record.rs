//! A span: a run of pages that holds the slots of one size class, or one large object.
//!
//! A span's record is out of band, in the span map, at the place of its first page; the free bitmap follows it, in the
//! places of the span's other pages. Free memory is therefore never written, and the record of a released span costs
//! nothing once its chunk's records are released as well.
//!
//! Invariants:
//! 1. A record is live from `SpanMap::create` to `SpanMap::retire`; in between it does not move.
//! 2. The fields of a small span, and its bitmap, belong to whoever holds the lock of its class's central list; those of
//!    a large span belong to the owner of the object. `state`, `first_page` and `pages` do not change while a slot of
//!    the span is out, except that the owner of a large object may resize its span.
//! 3. A bit of the free bitmap is set exactly while the slot is neither with a user, nor in a magazine, nor in flight.
//!
//! Orderings: the Release of `state` is for look-ups of foreign pointers; all other uses are Relaxed, ordered by what invariant
//! 2 names, and for look-ups by the way the object came to who frees it.
//!
//! Locks: none here; see 2.

use core::ptr::NonNull;

use crate::size_class::{ClassInfo, info};
use crate::sync::plain::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use crate::units::{PAGE_BYTES, Page, Run, SHARDS};

/// Bytes of a span record: what each heap page has room for in the span map.
pub const RECORD_BYTES: usize = 64;

/// The record has no span.
pub const STATE_DEAD: u8 = 0;
/// The span holds slots of a size class.
pub const STATE_SMALL: u8 = 1;
/// The span is one large object.
pub const STATE_LARGE: u8 = 2;

/// A span's record. All zero bytes are a dead record.
#[repr(C, align(64))]
pub struct Record {
    /// Neighbours in a list of the class's central; null at the ends.
    pub next: Option<Span>,
    /// See `next`.
    pub previous: Option<Span>,
    /// Neighbours in the class's queue of spans with new holes.
    pub next_with_holes: Option<Span>,
    /// See `next_with_holes`.
    pub previous_with_holes: Option<Span>,
    /// OS pages of the span, one bit each from the lowest, that are released although the span is in use.
    pub released_holes: u64,
    /// The number of the span's first page. Written before the span is published, read by look-ups.
    first_page: AtomicUsize,
    /// Pages in the span.
    pages: AtomicU32,
    /// Free slots: the bitmap's population.
    pub free_slots: u16,
    /// One of the `STATE_` values.
    state: AtomicU8,
    /// The size class of a small span.
    class: AtomicU8,
    /// Which of the class's centrals a small span belongs to.
    shard: AtomicU8,
    /// Which occupancy list holds the span; see `central`.
    pub bucket: u8,
    /// Whether the span is in the queue of spans with new holes.
    pub queued_for_holes: bool,
    /// The tick in which slots were last freed (wraps; only differences count).
    pub freed_tick: u32,
}

const _: () = assert!(size_of::<Record>() == RECORD_BYTES);

/// A handle to a span's live record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Span(NonNull<Record>);

// SAFETY: a handle is only an address; what may be done through it is said by the record's invariant 2.
unsafe impl Send for Span {}

impl Span {
    /// Names the record at `record`.
    ///
    /// # Safety
    /// `record` is a record inside the span map, valid for reads and writes as long as the heap exists.
    pub unsafe fn from_record(record: NonNull<Record>) -> Self {
        Self(record)
    }

    /// The record.
    ///
    /// # Safety
    /// The caller may use the record's fields by invariant 2, and keeps no other reference to them meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the handle stands for the record; the caller answers for uniqueness")]
    pub unsafe fn record<'a>(self) -> &'a mut Record {
        // SAFETY: the pointer is valid by `from_record`; uniqueness is the caller's contract.
        unsafe { &mut *self.0.as_ptr() }
    }

    fn shared(&self) -> &Record {
        // SAFETY: the pointer is valid by `from_record`. Only the atomic fields are used through this reference.
        unsafe { self.0.as_ref() }
    }

    /// The record's state.
    #[inline]
    pub fn state(self) -> u8 {
        // SAFETY: a field of a valid record, read as the atomic it is.
        unsafe { (*self.0.as_ptr()).state.load(Ordering::Relaxed) }
    }

    /// The size class of a small span.
    #[inline]
    pub fn class(self) -> usize {
        // SAFETY: as in `state`.
        unsafe { (*self.0.as_ptr()).class.load(Ordering::Relaxed) as usize }
    }

    /// Which of its class's centrals a small span belongs to; stays the same while the span lives.
    #[inline]
    pub fn shard(self) -> usize {
        // SAFETY: as in `state`.
        let shard = unsafe { (*self.0.as_ptr()).shard.load(Ordering::Relaxed) as usize };
        // A free that races with the end of its span, a misuse, may read anything here.
        shard & (SHARDS - 1)
    }

    /// Puts a fresh span into a shard.
    ///
    /// # Safety
    /// The span is the caller's: no slot of it was handed out yet.
    pub unsafe fn set_shard(self, shard: usize) {
        self.shared().shard.store(shard as u8, Ordering::Relaxed);
    }

    /// The figures of a small span's class.
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
    /// The record is dead and the pages of `run` are the caller's; the record is that of `run`'s first page.
    pub unsafe fn make_live(self, run: Run, state: u8, class: u8) {
        // SAFETY: nobody else uses a dead record whose pages are the caller's.
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
        // Release: a look-up of a foreign pointer that reads the new state reads the new extent too.
        record.state.store(state, Ordering::Release);
    }

    /// Makes the record dead.
    ///
    /// # Safety
    /// The span's pages are the caller's: no slot is out, and the span is in no list.
    pub unsafe fn make_dead(self) {
        self.shared().state.store(STATE_DEAD, Ordering::Relaxed);
    }

    /// Changes the length of a large span.
    ///
    /// # Safety
    /// The caller owns the large object and the pages of the new extent.
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

    /// The same for who has the figures of the span's class at hand.
    ///
    /// # Safety
    /// As for [`Span::record`]; `figures` are those of the span's class.
    #[inline]
    pub unsafe fn bitmap_of<'a>(self, info: &ClassInfo) -> &'a mut [u64] {
        let words = (info.slots as usize).div_ceil(64);
        // SAFETY: the build rule gives a class no more slots than the records of the span's pages after the first have
        // bits (`size_class` tests it), those records belong to this span while it is live, and uniqueness is the
        // caller's contract.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_ptr().cast::<u8>().add(RECORD_BYTES).cast::<u64>(), words) }
    }
}
