//! The table for C's frees: the page of an object alone says which magazine the free goes onto.
//!
//! C's `free` knows an address and nothing else. One load from this table answers for each page near the heap's first page,
//! and nearly always these are all pages of the heap. For other pages the span map's tags answer. A page's entry follows
//! from the class in the page's tag.
//!
//! Orderings: the table is published with Release and read with Acquire. Its entries are Relaxed, like tags: an entry was
//! written before the span's first slot was handed out, and reaches a free in the way that the slot did.
//!
//! Locks: none.

use core::ptr::{NonNull, null_mut};

use super::region::{REGION_PAGES, REGION_SHIFT};
use crate::sync::plain::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use crate::sys;
use crate::units::PAGE_SHIFT;

/// For each near page, which magazine a free of an object in the page goes onto, as a `push_number`.
///
/// The near pages reach up to the end of the first shard's reservation, and as far down as the reservations of the other
/// shards, because the kernel places each mapping below the mapping before. The struct has a cache line of its own, which
/// is written once.
#[repr(C, align(64))]
pub struct FreeTable {
    /// Minus the address of the first near page: its sum with an address is the offset of the address in the near pages.
    /// (An addition takes one instruction less than a subtraction.) Before there is a table, the value makes every offset
    /// too large.
    minus_start: AtomicUsize,
    /// The table: [`NEAR_PAGES`] bytes. Written once, before `minus_start` (Release, Acquire).
    numbers: AtomicPtr<AtomicU8>,
}

/// The near regions below the heap's first region: seven reservations of 64 GiB, one for each other shard.
const NEAR_REGIONS_BELOW: usize = if cfg!(loom) { 1 } else { 7 * 64 };

/// The number of near pages: the regions below, the heap's first region, and the reservation that begins in the first
/// region. The last page is left out. A multiple of a large power of two would make the compiler compare in larger units
/// than pages, which takes two more instructions.
const NEAR_PAGES: usize = (NEAR_REGIONS_BELOW + 65) * REGION_PAGES - 1;

impl FreeTable {
    /// No table: no page is near.
    pub const fn new() -> Self {
        Self { minus_start: AtomicUsize::new(1 << (usize::BITS - 1)), numbers: AtomicPtr::new(null_mut()) }
    }

    /// Maps the table around the heap's first region, unless the table is there. If the OS refuses, frees use the tags.
    ///
    /// A table that comes after the first spans does not know them, and their frees take the slow path. This happens only
    /// if the OS refused at the first call, because at the first call no shard has a span.
    pub(super) fn begin(&self, region: usize) {
        if !self.numbers.load(Ordering::Relaxed).is_null() {
            return;
        }
        if NEAR_PAGES > sys::limits::address_space_share().min(sys::limits::data_share()) {
            return;
        }
        let Some(table) = sys::vm::map_metadata(NEAR_PAGES) else { return };
        let table = table.as_ptr().cast();
        // If another shard was faster, its table stays and this address space is lost.
        if self.numbers.compare_exchange(null_mut(), table, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            let start = region.saturating_sub(NEAR_REGIONS_BELOW) << REGION_SHIFT;
            self.minus_start.store(start.wrapping_neg(), Ordering::Release);
        }
    }

    /// The entry of the page that holds `address`; `None` if the page is not near.
    #[inline(always)]
    pub(super) fn entry(&self, address: usize) -> Option<NonNull<AtomicU8>> {
        let index = address.wrapping_add(self.minus_start.load(Ordering::Acquire)) >> PAGE_SHIFT;
        // SAFETY: no page is near until the table is there, and the table has a byte for each near page.
        (index < NEAR_PAGES).then(|| unsafe { NonNull::new_unchecked(self.numbers.load(Ordering::Relaxed).add(index)) })
    }

    /// The `push_number` of the small span that holds `address`; 0 where no small span is, `None` if the page is not near.
    ///
    /// # Safety
    /// As for `class_number_at`.
    #[inline(always)]
    pub unsafe fn push_number_at(&self, address: usize) -> Option<usize> {
        // SAFETY: the table is never unmapped. There is no race, as in `class_number_at`.
        self.entry(address).map(|entry| unsafe { entry.cast::<u8>().read() } as usize)
    }
}
