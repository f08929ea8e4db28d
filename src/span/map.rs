//! The span map: from an address to the span that holds it, in two dependent loads.
//!
//! Address space is split into regions of 1 GiB. A region with heap memory in it has one metadata mapping: a tag for each
//! page (how far back its span's first page is, and the span's class) and a record for each page. The mapping is address
//! space until it is touched, so its cost follows the pages in use: 67 bytes for 8 KiB at most. The class is in the tag
//! because C's `free` knows nothing else. Builds with C's names have it once more, for the pages `FreeTable` where the heap
//! began, by page alone: one load.
//!
//! Rejected: a hash table (locks, or a lock-free table to model), a header in user pages (a wild write there ruins the
//! heap, and an aligned object would pay for it).
//!
//! Invariants:
//! 1. A region's mapping, once published, stays for the life of the heap.
//! 2. A small span never crosses a region (`create` refuses it), so that its bitmap is contiguous.
//! 3. A page of a live small span has its tag; so has the first page of a large span. All other pages have 0, inside
//!    large spans too, because `retire` clears what `create` wrote. What `FreeTable` has of a page follows from its tag's class.
//!
//! Orderings: the table and each region's mapping are published with Release and read with Acquire. Tags are Relaxed: they
//! were written before the span's first slot was handed out, and come to a look-up the way the slot did.
//!
//! Locks: none. `publish` is called under the lock of the page heap that grows; `create` and `retire` by the owner of the pages.

use core::ptr::{NonNull, null_mut};

#[cfg(serves_c)]
use super::free_table::FreeTable;
use super::record::{RECORD_BYTES, Record, STATE_DEAD, STATE_LARGE, STATE_SMALL, Span};
use super::region::{REGION_PAGES, REGION_SHIFT, crosses_region};
use crate::size_class::CLASSES;
#[cfg(serves_c)]
use crate::size_class::push_number;
use crate::sync::plain::{AtomicPtr, AtomicU8, Ordering};
use crate::units::{ADDRESS_BITS, Page, Run};

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
    free_table: AtomicPtr<FreeTable>,
}

impl SpanMap {
    /// A map without a table: every look-up fails.
    pub const fn new() -> Self {
        Self {
            table: AtomicPtr::new(null_mut()),
            #[cfg(serves_c)]
            free_table: AtomicPtr::new(null_mut()),
        }
    }

    /// From now on the map keeps the numbers of near pages in `table` as well. Nothing has been published yet.
    #[cfg(serves_c)]
    pub fn attach_free_table(&self, table: &'static FreeTable) {
        self.free_table.store(core::ptr::from_ref(table).cast_mut(), Ordering::Relaxed);
    }

    #[cfg(serves_c)]
    fn free_table(&self) -> Option<&'static FreeTable> {
        // SAFETY: null, or what `attach_free_table` was given.
        unsafe { self.free_table.load(Ordering::Relaxed).as_ref() }
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
        if let Some(table) = self.free_table() {
            table.begin(region);
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
                if let Some(place) = self.free_table().and_then(|table| table.place(run.first.plus(index).address())) {
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
    let index = Page::containing(address).0 & (REGION_PAGES - 1);
    // SAFETY:
    // - the place: as in `SpanMap::parts`;
    // - no race: the tag was written before the object was handed out, and stays while it is live. Another heap's object
    //   is in no page of ours, whose tag does not change while the object keeps us from having the page.
    Some(unsafe { (*base.cast::<Tag>().add(index).as_ptr()).class.as_ptr().read() } as usize)
}
