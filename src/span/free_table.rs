//! The table for C's frees: which magazine a free goes onto, by the number of the object's page alone.
//!
//! C's `free` knows an address and nothing else. For the pages around the heap's first, which nearly always are all pages,
//! one load from this table answers; for other pages the span map's tags do. What the table says of a page follows from the
//! class in the page's tag.
//!
//! Orderings: the table is published with Release and read with Acquire. Its entries are Relaxed, like tags: an entry was
//! written before the span's first slot was handed out, and comes to a free the way the slot did.
//!
//! Locks: none.

use core::ptr::{NonNull, null_mut};

use super::region::{REGION_PAGES, REGION_SHIFT};
use crate::sync::plain::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use crate::sys;
use crate::units::PAGE_SHIFT;

/// Which magazine a free of an object in a page goes onto ([`push_number`]), for the pages around the heap's first: up to the end of the first shard's reservation, and as far
/// down as the others' reach, since the kernel places each mapping below the one before. Nearly always those are all
/// there are. A line of its own, which is written once.
#[repr(C, align(64))]
pub struct FreeTable {
    /// What is to be added to an address to make it an offset from the first page: minus that page's address (an addition
    /// takes one instruction less). Before there is a table, what makes every address too large.
    minus_start: AtomicUsize,
    /// [`NEAR_PAGES`] bytes. Written before `minus_start` (Release, Acquire), and once.
    numbers: AtomicPtr<AtomicU8>,
}

/// Regions below the heap's first that are near: seven reservations of 64 GiB, as many as there are other shards.
const NEAR_REGIONS_BELOW: usize = if cfg!(loom) { 1 } else { 7 * 64 };

/// That region and the reservation that begins in it. One page less makes the comparison one of pages, which are at hand:
/// a multiple of more would be compared in units of its own, for two instructions.
const NEAR_PAGES: usize = (NEAR_REGIONS_BELOW + 65) * REGION_PAGES - 1;

impl FreeTable {
    /// Without a table: no page is near.
    pub const fn new() -> Self {
        Self { minus_start: AtomicUsize::new(1 << (usize::BITS - 1)), numbers: AtomicPtr::new(null_mut()) }
    }

    /// Maps the table around the heap's first region, unless it is there. Without it, where the OS refuses, frees take the
    /// other way. No other shard has memory at the first call, so spans that the table does not know (whose frees take the
    /// slow path) come only of a later call, after the OS had refused.
    pub(super) fn begin(&self, region: usize) {
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
    pub(super) fn place(&self, address: usize) -> Option<NonNull<AtomicU8>> {
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
