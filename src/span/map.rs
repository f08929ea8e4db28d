//! The span map: leads from an address to the span that holds the address, in two dependent loads.
//!
//! Address space is split into regions of 1 GiB. A region with heap memory has one metadata mapping: a tag for each page
//! (how far back the first page of the span is, and the span's class) and a record for each page. The mapping is only
//! address space until it is touched, so its cost follows the pages in use: at most 67 bytes for a page of 8 KiB. The tag
//! holds the class because C's `free` knows only an address. Builds that serve C hold the class a second time, in the
//! `FreeTable`.
//!
//! Rejected: a hash table (it needs locks, or a lock-free table that needs a model) and a header in user pages (a wild
//! write there ruins the heap, and each aligned object pays for the header).
//!
//! Invariants:
//! 1. A region's mapping, once published, stays for the life of the heap.
//! 2. A small span never crosses a region (`create` refuses it), so its bitmap is contiguous.
//! 3. Each page of a live small span has a tag, and so has the first page of a large span. All other pages have tag 0, also
//!    inside large spans, because `retire` clears what `create` wrote. A page's entry in the `FreeTable` follows from the
//!    tag.
//!
//! Orderings: the table and each region's mapping are published with Release and read with Acquire. Tags are Relaxed: a tag
//! was written before the span's first slot was handed out, and reaches a look-up in the way that the slot did.
//!
//! Locks: none. The caller of `publish` holds the lock of the page heap that grows. The caller of `create` and `retire`
//! owns the pages.

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

/// The metadata of each region, by region number; null where a region has no metadata.
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

/// A page's tag. All zero means no span.
#[repr(C, align(2))]
struct Tag {
    /// How many pages before this page the span begins, plus 1. Only small spans have tags on later pages, and a small span
    /// has at most 16 pages.
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
    /// A map without a table. Every look-up fails.
    pub const fn new() -> Self {
        Self {
            table: AtomicPtr::new(null_mut()),
            #[cfg(serves_c)]
            free_table: AtomicPtr::new(null_mut()),
        }
    }

    /// Makes the map write each near page's entry in `table` from now on. Nothing has been published yet.
    #[cfg(serves_c)]
    pub fn attach_free_table(&self, table: &'static FreeTable) {
        self.free_table.store(core::ptr::from_ref(table).cast_mut(), Ordering::Relaxed);
    }

    #[cfg(serves_c)]
    fn free_table(&self) -> Option<&'static FreeTable> {
        // SAFETY: the pointer is null, or the reference that `attach_free_table` was given.
        unsafe { self.free_table.load(Ordering::Relaxed).as_ref() }
    }

    /// Whether the map has a table.
    pub fn has_table(&self) -> bool {
        !self.table.load(Ordering::Acquire).is_null()
    }

    /// Gives the map its table.
    ///
    /// # Safety
    /// - `table` is [`TABLE_BYTES`] of zeroed memory, aligned to 8, that stays valid and belongs to nobody else.
    /// - The call comes before any other use of the map.
    pub unsafe fn attach(&self, table: NonNull<u8>) {
        self.table.store(table.as_ptr().cast(), Ordering::Release);
    }

    #[inline]
    fn region(&self, address: usize) -> Option<&AtomicPtr<u8>> {
        // SAFETY: the pointer is null, or the table of `attach`, which stays valid.
        let table = unsafe { self.table.load(Ordering::Acquire).as_ref() }?;
        table.get(address >> REGION_SHIFT)
    }

    /// The number of the first region that `run` touches and that has no metadata yet.
    pub fn missing_region(&self, run: Run) -> Option<usize> {
        let first = run.first.address() >> REGION_SHIFT;
        let last = (run.end().address() - 1) >> REGION_SHIFT;
        (first..=last)
            .find(|&r| self.region(r << REGION_SHIFT).is_some_and(|cell| cell.load(Ordering::Relaxed).is_null()))
    }

    /// Publishes a region's metadata.
    ///
    /// # Safety
    /// `metadata` is [`REGION_METADATA_BYTES`] of zeroed memory, aligned to 64, that stays valid and belongs to nobody
    /// else.
    pub unsafe fn publish(&self, region: usize, metadata: NonNull<u8>) {
        if let Some(cell) = self.region(region << REGION_SHIFT) {
            // Release pairs with the Acquire in `parts`. If another shard's page heap was faster, its metadata stays and
            // this address space is lost.
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
        // SAFETY: a published mapping has a tag and a record for each page of its region (`publish`), and `index` is below
        // REGION_PAGES.
        unsafe {
            let tag = base.cast::<Tag>().add(index).as_ref();
            let record = base.add(RECORDS_OFFSET + index * RECORD_BYTES).cast::<Record>();
            Some((tag, record))
        }
    }

    /// The live span that holds `address`. A large span is found only by an address in its first page.
    #[inline]
    pub fn lookup(&self, address: usize) -> Option<Span> {
        let page = Page::containing(address);
        let (tag, record) = self.parts(page)?;
        let back = (tag.distance.load(Ordering::Relaxed) as usize).checked_sub(1)?;
        if back > page.0 & (REGION_PAGES - 1) {
            return None;
        }
        // SAFETY: `back` is at most the page's index in the region, so the earlier record is inside the region's mapping.
        let record = unsafe { record.sub(back) };
        // SAFETY: it is a record inside the span map.
        let span = unsafe { Span::from_record(record) };
        (span.state() != STATE_DEAD && span.contains(address)).then_some(span)
    }

    /// The live small span of `class` that holds `address`, and the address of the span's first byte. The tag alone answers
    /// (invariant 3). So the span's record, which is in another cache line, is not read.
    #[inline(always)]
    pub fn small_span(&self, address: usize, class: usize) -> Option<(Span, usize)> {
        let page = Page::containing(address);
        let (tag, record) = self.parts(page)?;
        if tag.class.load(Ordering::Relaxed) as usize != class + 1 {
            return None;
        }
        // A misuse may look up a span that another thread retires at this moment. Half of the tag may be cleared already.
        let back = (tag.distance.load(Ordering::Relaxed) as usize).checked_sub(1)?;
        // SAFETY: a small span lies in one region (invariant 2), so the record of its first page is in the mapping too.
        let span = unsafe { Span::from_record(record.sub(back)) };
        Some((span, Page(page.0 - back).address()))
    }

    /// Makes a span of `run`: a small span of `class`, or a large span if `class` is `None`. Returns `None` for a small
    /// span that would cross a region.
    ///
    /// # Safety
    /// The caller owns the pages of `run`, and their region has metadata.
    pub unsafe fn create(&self, run: Run, class: Option<usize>) -> Option<Span> {
        if class.is_some() && crosses_region(run) {
            return None;
        }
        let (_, record) = self.parts(run.first)?;
        // SAFETY: it is a record inside the span map.
        let span = unsafe { Span::from_record(record) };
        match class {
            Some(class) => {
                // SAFETY: the caller owns the pages. The record is dead, because its page belongs to no span.
                unsafe { span.make_live(run, STATE_SMALL, class as u8) };
                self.write_tags(run, |index| (index as u8 + 1, class as u8 + 1));
            }
            None => {
                // SAFETY: as above.
                unsafe { span.make_live(run, STATE_LARGE, 0) };
                self.write_tags(Run { pages: 1, ..run }, |_| (1, 0));
            }
        }
        Some(span)
    }

    /// Ends a span. The caller goes on owning its pages.
    ///
    /// # Safety
    /// The caller owns the pages. No slot of the span is out, and the span is in no list.
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
                if let Some(entry) = self.free_table().and_then(|table| table.entry(run.first.plus(index).address())) {
                    // SAFETY: it is an entry of the table, which is never unmapped.
                    unsafe { entry.as_ref() }.store(push_number(class), Ordering::Relaxed);
                }
            }
        }
    }

    /// The address of a page's record. The records of the following pages follow. A caller may release the memory of
    /// records while the pages of the records are free and nobody can take a page of them. Released records read as zero:
    /// dead.
    pub fn record_address(&self, page: Page) -> Option<usize> {
        let (_, record) = self.parts(page)?;
        Some(record.as_ptr() as usize)
    }
}

/// The class plus 1 of the small span that holds `address`; 0 if no small span does, `None` if the region has no metadata.
///
/// The function does not check whether a slot begins at `address`, and it ignores the bits of an address beyond the address
/// space. The look-up of a flush finds such an address.
///
/// # Safety
/// `address` is null, or the address of a live object of this heap or of another allocator.
#[cfg(serves_c)]
#[inline(always)]
pub unsafe fn class_number_at(regions: &Regions, address: usize) -> Option<usize> {
    let region = &regions[(address >> REGION_SHIFT) & (REGIONS - 1)];
    let base = NonNull::new(region.load(Ordering::Acquire))?;
    let index = Page::containing(address).0 & (REGION_PAGES - 1);
    // SAFETY:
    // - The tag is inside the mapping, as in `SpanMap::parts`.
    // - There is no race for an object of this heap: its tag was written before the object was handed out, and the tag
    //   stays while the object is live.
    // - There is no race for an object of another allocator: while the object is live this heap cannot have its page, so
    //   the page's tag does not change.
    Some(unsafe { (*base.cast::<Tag>().add(index).as_ptr()).class.as_ptr().read() } as usize)
}
