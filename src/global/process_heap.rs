//! The heap of the process, and the tables that C's frees read. The tables are statics, so a free finds them without a load or
//! a test.
//!
//! Locks: the heap's. The initialisation spins (`spin::Once`) for a few system calls.

use core::ptr::NonNull;

use spin::Once;

use crate::heap::Heap;
#[cfg(serves_c)]
use crate::span::FreeTable;
use crate::span::{self, Regions};

use super::sentinel::{SENTINEL, SENTINEL_CACHE};
use super::settings;

/// The span map's table of regions.
static REGIONS: Regions = span::no_regions();
#[cfg(serves_c)]
static FREE_TABLE: FreeTable = FreeTable::new();
static HEAP: Heap = Heap::new();
static READY: Once<()> = Once::new();

/// The initialised heap. `None` while the OS gives no memory for the heap's tables.
#[inline]
pub fn heap() -> Option<&'static Heap> {
    if READY.is_completed() { Some(&HEAP) } else { initialize() }
}

/// Whether the heap is initialised, as it is from its first allocation on.
pub fn is_ready() -> bool {
    READY.is_completed()
}

#[cold]
fn initialize() -> Option<&'static Heap> {
    READY
        .try_call_once(|| {
            #[cfg(serves_c)]
            HEAP.page_heaps().span_map.attach_free_table(&FREE_TABLE);
            // SAFETY: `Once` runs this on one thread at a time until it succeeds. The table is zero and belongs to this heap
            // alone; the sentinel's statics are never written.
            let done = unsafe {
                HEAP.page_heaps().span_map.attach(NonNull::from(&REGIONS).cast());
                HEAP.initialize(NonNull::from(&SENTINEL_CACHE), SENTINEL.last())
            };
            if !done {
                return Err(());
            }
            HEAP.configure(settings::read());
            Ok(())
        })
        .ok()?;
    Some(&HEAP)
}

/// The class plus 1 of the small span that holds `address`. 0 or `None` if no small span holds it, or if the heap is not
/// initialised.
///
/// # Safety
/// As for [`span::class_number_at`].
#[cfg(serves_c)]
#[inline(always)]
pub unsafe fn class_number_at(address: usize) -> Option<usize> {
    // SAFETY: the caller's contract.
    unsafe { span::class_number_at(&REGIONS, address) }
}

/// The number of the magazine that a freed object goes onto (`size_class::push_number`), found by one load. `None` for an
/// address far from the heap's first; [`class_number_at`] may still know its class.
///
/// # Safety
/// As for [`span::class_number_at`].
#[cfg(serves_c)]
#[inline(always)]
pub unsafe fn push_number_near(address: usize) -> Option<usize> {
    // SAFETY: the caller's contract.
    unsafe { FREE_TABLE.push_number_at(address) }
}
