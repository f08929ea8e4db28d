//! The span map: from an address to the span that holds it, in two dependent loads.
//!
//! Address space is split into regions of 1 GiB. A region with heap memory in it has one metadata mapping: a tag for each
//! page (how far back its span's first page is, and the span's class) and a record for each page. The mapping is address
//! space until it is touched, so its cost follows the pages in use: 67 bytes for 8 KiB at most. The class is in the tag
//! because C's `free` knows nothing else. Builds with C's names have it once more, for the pages `Near` where the heap
//! began, by page alone: one load.
//!
//! Rejected: a hash table (locks, or a lock-free table to model), a header in user pages (a wild write there ruins the
//! heap, and an aligned object would pay for it).
//!
//! Invariants:
//! 1. A region's mapping, once published, stays for the life of the heap.
//! 2. A small span never crosses a region (`create` refuses it), so that its bitmap is contiguous.
//! 3. A page of a live small span has its tag; so has the first page of a large span. All other pages have 0, inside
//!    large spans too, because `retire` clears what `create` wrote. What `Near` has of a page follows from its tag's class.
//!
//! Orderings: the table and each region's mapping are published with Release and read with Acquire. Tags are Relaxed: they
//! were written before the span's first slot was handed out, and come to a look-up the way the slot did.
//!
//! Locks: none. `publish` is called under the lock of the page heap that grows; `create` and `retire` by the owner of the pages.

use core::ptr::{NonNull, null_mut};

use crate::size_class::CLASSES;
#[cfg(serves_c)]
use crate::size_class::push_number;
use crate::span::{RECORD_BYTES, Record, STATE_DEAD, STATE_LARGE, STATE_SMALL, Span};
#[cfg(serves_c)]
use crate::sync::plain::AtomicUsize;
use crate::sync::plain::{AtomicPtr, AtomicU8, Ordering};
#[cfg(serves_c)]
use crate::sys;
use crate::units::{ADDRESS_BITS, PAGE_SHIFT, Page, Run};

const REGION_SHIFT: u32 = if cfg!(loom) { 22 } else { 30 };
const REGION_PAGES: usize = 1 << (REGION_SHIFT - PAGE_SHIFT);
const REGIONS: usize = 1 << (ADDRESS_BITS - REGION_SHIFT);
const RECORDS_OFFSET: usize = REGION_PAGES * size_of::<Tag>();

/// The regions' metadata, by region number; null where a region has none.
pub type Regions = [AtomicPtr<u8>; REGIONS];

/// A table in which no region has metadata.
#[cfg(not(loom))]
pub const fn no_regions() -> Regions {
    [const { AtomicPtr::new(null_mut()) }; REGIONS]
}

/// Bytes of the table that [`SpanMap::attach`] takes: zeroed memory.
pub const TABLE_BYTES: usize = size_of::<Regions>();
/// Bytes of one region's metadata mapping: zeroed memory.
pub const REGION_METADATA_BYTES: usize = RECORDS_OFFSET + REGION_PAGES * RECORD_BYTES;

/// Which magazine a free of an object in a page goes onto ([`push_number`]), for the pages around the heap's first: up to the end of the first shard's reservation, and as far
/// down as the others' reach, since the kernel places each mapping below the one before. Nearly always those are all
/// there are. A line of its own, which is written once.
#[cfg(serves_c)]
#[repr(C, align(64))]
pub struct Near {
    /// What is to be added to an address to make it an offset from the first page: minus that page's address (an addition
    /// takes one instruction less). Before there is a table, what makes every address too large.
    minus_start: AtomicUsize,
    /// [`NEAR_PAGES`] bytes. Written before `minus_start` (Release, Acquire), and once.
    numbers: AtomicPtr<AtomicU8>,
}

/// Regions below the heap's first that are near: seven reservations of 64 GiB, as many as there are other shards.
#[cfg(serves_c)]
const NEAR_REGIONS_BELOW: usize = if cfg!(loom) { 1 } else { 7 * 64 };

/// That region and the reservation that begins in it. One page less makes the comparison one of pages, which are at hand:
/// a multiple of more would be compared in units of its own, for two instructions.
#[cfg(serves_c)]
const NEAR_PAGES: usize = (NEAR_REGIONS_BELOW + 65) * REGION_PAGES - 1;

#[cfg(serves_c)]
impl Near {
    /// Without a table: no page is near.
    pub const fn new() -> Self {
        Self { minus_start: AtomicUsize::new(1 << (usize::BITS - 1)), numbers: AtomicPtr::new(null_mut()) }
    }

    /// Maps the table around the heap's first region, unless it is there. Without it, where the OS refuses, frees take the
    /// other way. No other shard has memory at the first call, so spans that the table does not know (whose frees take the
    /// slow path) come only of a later call, after the OS had refused.
    fn begin(&self, region: usize) {
        if !self.numbers.load(Ordering::Relaxed).is_null() {
            return;
        }
        let Some(table) = sys::vm::map_metadata(NEAR_PAGES) else { return };
        let table = table.as_ptr().cast();
        // Where another shard was faster, this is address space lost.
        if self.numbers.compare_exchange(null_mut(), table, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            let start = region.saturating_sub(NEAR_REGIONS_BELOW) << REGION_SHIFT;
            self.minus_start.store(start.wrapping_neg(), Ordering::Release);
        }
    }

    /// The place of the page that holds `address`.
    #[inline(always)]
    fn place(&self, address: usize) -> Option<NonNull<AtomicU8>> {
        let index = address.wrapping_add(self.minus_start.load(Ordering::Acquire)) >> PAGE_SHIFT;
        // SAFETY: no address is near until the table is there, which has a byte for each of these pages.
        (index < NEAR_PAGES).then(|| unsafe { NonNull::new_unchecked(self.numbers.load(Ordering::Relaxed).add(index)) })
    }

    /// The [`push_number`] of the small span that holds `address`; 0 for other places, `None` far from where the heap began.
    ///
    /// # Safety
    /// As for [`class_number_at`].
    #[inline(always)]
    pub unsafe fn push_number_at(&self, address: usize) -> Option<usize> {
        // SAFETY: the table stays; no race: as in `class_number_at`.
        self.place(address).map(|place| unsafe { place.cast::<u8>().read() } as usize)
    }
}

/// Whether a run lies in more than one region.
pub fn crosses_region(run: Run) -> bool {
    (run.first.0 & (REGION_PAGES - 1)) + run.pages > REGION_PAGES
}

/// A page's tag. All zero: no span.
#[repr(C, align(2))]
struct Tag {
    /// Pages back to its span's first page, plus 1. Only small spans, of 16 pages at most, have tags on later pages.
    distance: AtomicU8,
    /// The class of a small span, plus 1; 0 for a large one.
    class: AtomicU8,
}

const _: () = assert!(CLASSES < 255);

/// The map. Empty until a table is attached.
pub struct SpanMap {
    table: AtomicPtr<Regions>,
    #[cfg(serves_c)]
    near: AtomicPtr<Near>,
}

impl SpanMap {
    /// A map without a table: every look-up fails.
    pub const fn new() -> Self {
        Self {
            table: AtomicPtr::new(null_mut()),
            #[cfg(serves_c)]
            near: AtomicPtr::new(null_mut()),
        }
    }

    /// From now on the map keeps the numbers of near pages in `near` as well. Nothing has been published yet.
    #[cfg(serves_c)]
    pub fn attach_near(&self, near: &'static Near) {
        self.near.store(core::ptr::from_ref(near).cast_mut(), Ordering::Relaxed);
    }

    #[cfg(serves_c)]
    fn near(&self) -> Option<&'static Near> {
        // SAFETY: null, or what `attach_near` was given.
        unsafe { self.near.load(Ordering::Relaxed).as_ref() }
    }

    /// Whether the map has a table.
    pub fn has_table(&self) -> bool {
        !self.table.load(Ordering::Acquire).is_null()
    }

    /// Gives the map its table.
    ///
    /// # Safety
    /// `table` is [`TABLE_BYTES`] of zeroed memory, aligned to 8, that stays valid and is nobody else's. Called before any other use.
    pub unsafe fn attach(&self, table: NonNull<u8>) {
        self.table.store(table.as_ptr().cast(), Ordering::Release);
    }

    #[inline]
    fn region(&self, address: usize) -> Option<&AtomicPtr<u8>> {
        // SAFETY: the pointer is null or the table of `attach`, which stays valid.
        let table = unsafe { self.table.load(Ordering::Acquire).as_ref() }?;
        table.get(address >> REGION_SHIFT)
    }

    /// The first region that `run` touches and that has no metadata yet, as its number.
    pub fn missing_region(&self, run: Run) -> Option<usize> {
        let first = run.first.address() >> REGION_SHIFT;
        let last = (run.end().address() - 1) >> REGION_SHIFT;
        (first..=last)
            .find(|&r| self.region(r << REGION_SHIFT).is_some_and(|cell| cell.load(Ordering::Relaxed).is_null()))
    }

    /// Publishes a region's metadata.
    ///
    /// # Safety
    /// `metadata` is [`REGION_METADATA_BYTES`] of zeroed memory, aligned to 64, that stays valid and is nobody else's.
    pub unsafe fn publish(&self, region: usize, metadata: NonNull<u8>) {
        if let Some(cell) = self.region(region << REGION_SHIFT) {
            // Release: pairs with the Acquire of `parts`, though the zeroes would do. Another shard's heap may have been
            // faster: then its metadata stays, and this is address space lost.
            let _ = cell.compare_exchange(null_mut(), metadata.as_ptr(), Ordering::AcqRel, Ordering::Relaxed);
        }
        #[cfg(serves_c)]
        if let Some(near) = self.near() {
            near.begin(region);
        }
    }

    #[inline]
    fn parts(&self, page: Page) -> Option<(&Tag, NonNull<Record>)> {
        let base = NonNull::new(self.region(page.address())?.load(Ordering::Acquire))?;
        let index = page.0 & (REGION_PAGES - 1);
        // SAFETY: a published mapping has a tag and a record for every page of its region (`publish`), and the
        // index is below REGION_PAGES.
        unsafe {
            let tag = base.cast::<Tag>().add(index).as_ref();
            let record = base.add(RECORDS_OFFSET + index * RECORD_BYTES).cast::<Record>();
            Some((tag, record))
        }
    }

    /// The live span that holds `address`. Of a large span only the first page is found.
    #[inline]
    pub fn lookup(&self, address: usize) -> Option<Span> {
        let page = Page::containing(address);
        let (tag, record) = self.parts(page)?;
        let back = (tag.distance.load(Ordering::Relaxed) as usize).checked_sub(1)?;
        if back > page.0 & (REGION_PAGES - 1) {
            return None;
        }
        // SAFETY: `back` records before this one is still inside the region's mapping.
        let record = unsafe { record.sub(back) };
        // SAFETY: a record inside the span map.
        let span = unsafe { Span::from_record(record) };
        (span.state() != STATE_DEAD && span.contains(address)).then_some(span)
    }

    /// The live small span of a class that holds `address`, and the address of its first byte. The tag alone tells (invariant
    /// 3), so the span's record, a line of its own, is not read.
    #[inline(always)]
    pub fn small_span(&self, address: usize, class: usize) -> Option<(Span, usize)> {
        let page = Page::containing(address);
        let (tag, record) = self.parts(page)?;
        if tag.class.load(Ordering::Relaxed) as usize != class + 1 {
            return None;
        }
        // Of a span that is retired just now, which only a misuse asks for, half a tag may be gone.
        let back = (tag.distance.load(Ordering::Relaxed) as usize).checked_sub(1)?;
        // SAFETY: a small span lies in one region (invariant 2), so the record of its first page is in the mapping, too.
        let span = unsafe { Span::from_record(record.sub(back)) };
        Some((span, Page(page.0 - back).address()))
    }

    /// Makes a span of `run`: of a size class, or a large object where there is none.
    ///
    /// # Safety
    /// The pages of `run` are the caller's and their region has metadata.
    pub unsafe fn create(&self, run: Run, class: Option<usize>) -> Option<Span> {
        if class.is_some() && crosses_region(run) {
            return None;
        }
        let (_, record) = self.parts(run.first)?;
        // SAFETY: a record inside the span map; it is dead, since its page belonged to no span.
        let span = unsafe { Span::from_record(record) };
        match class {
            Some(class) => {
                // SAFETY: the caller's contract.
                unsafe { span.make_live(run, STATE_SMALL, class as u8) };
                self.write_tags(run, |index| (index as u8 + 1, class as u8 + 1));
            }
            None => {
                // SAFETY: the caller's contract.
                unsafe { span.make_live(run, STATE_LARGE, 0) };
                self.write_tags(Run { pages: 1, ..run }, |_| (1, 0));
            }
        }
        Some(span)
    }

    /// Ends a span; its pages go on being the caller's.
    ///
    /// # Safety
    /// No slot of the span is out, and the span is in no list.
    pub unsafe fn retire(&self, span: Span) {
        let run = span.run();
        let written = if span.state() == STATE_SMALL { run.pages } else { 1 };
        // SAFETY: the caller's contract.
        unsafe { span.make_dead() };
        self.write_tags(Run { pages: written, ..run }, |_| (0, 0));
    }

    fn write_tags(&self, run: Run, value: impl Fn(usize) -> (u8, u8)) {
        for index in 0..run.pages {
            if let Some((tag, _)) = self.parts(run.first.plus(index)) {
                let (distance, class) = value(index);
                tag.distance.store(distance, Ordering::Relaxed);
                tag.class.store(class, Ordering::Relaxed);
                #[cfg(serves_c)]
                if let Some(place) = self.near().and_then(|near| near.place(run.first.plus(index).address())) {
                    // SAFETY: a place in the table, which stays.
                    unsafe { place.as_ref() }.store(push_number(class), Ordering::Relaxed);
                }
            }
        }
    }

    /// The address of a page's record; the following pages' records follow. Records are released while every page they
    /// belong to is free and nobody can take one. They read as zero afterwards: dead.
    pub fn record_address(&self, page: Page) -> Option<usize> {
        let (_, record) = self.parts(page)?;
        Some(record.as_ptr() as usize)
    }
}

/// The class plus 1 of the small span that holds `address`; 0 for a large span, `None` where no heap is near. Whether a
/// slot begins there is not looked at, and of an address outside the address space the excess bits are ignored: such a
/// one is found by the look-up of a flush.
///
/// # Safety
/// `address` is null or that of a live object, of this heap or another.
#[cfg(serves_c)]
#[inline(always)]
pub unsafe fn class_number_at(regions: &Regions, address: usize) -> Option<usize> {
    let region = &regions[(address >> REGION_SHIFT) & (REGIONS - 1)];
    let base = NonNull::new(region.load(Ordering::Acquire))?;
    let index = (address >> PAGE_SHIFT) & (REGION_PAGES - 1);
    // SAFETY:
    // - the place: as in `SpanMap::parts`;
    // - no race: the tag was written before the object was handed out, and stays while it is live. Another heap's object
    //   is in no page of ours, whose tag does not change while the object keeps us from having the page.
    Some(unsafe { (*base.cast::<Tag>().add(index).as_ptr()).class.as_ptr().read() } as usize)
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests;
