//! The process's heap, and the tables that C's frees find without a load or a test.
//!
//! Locks: the heap's; initialisation spins (`spin::Once`) for the few system calls that it takes.

use core::ptr::NonNull;

use spin::Once;

use crate::heap::Heap;
#[cfg(serves_c)]
use crate::span::FreeTable;
use crate::span::{self, Regions};

use super::sentinel::{SENTINEL, SENTINEL_CACHE};
use super::settings;

/// The span map's table. Here and not in the heap, so that a free by address finds it without a load or a test.
static REGIONS: Regions = span::no_regions();
#[cfg(serves_c)]
static FREE_TABLE: FreeTable = FreeTable::new();
static HEAP: Heap = Heap::new();
static READY: Once<()> = Once::new();

/// The heap, initialised. `None` while the OS gives no memory for its tables.
#[inline]
pub fn heap() -> Option<&'static Heap> {
    if READY.is_completed() { Some(&HEAP) } else { initialize() }
}

#[cold]
fn initialize() -> Option<&'static Heap> {
    READY
        .try_call_once(|| {
            #[cfg(serves_c)]
            HEAP.page_heaps().span_map.attach_free_table(&FREE_TABLE);
            // SAFETY: `Once` runs this on one thread at a time until it succeeds. The table is zero and only the heap's, and the
            // other statics are never written.
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

/// The class plus 1 of the small span that holds `address`; 0 or `None` for anything else, also before the heap is
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

/// The number of the magazine that a free goes onto (`size_class::push_number`), where one load tells; `None` far from where
/// the heap began, where [`class_number_at`] may still know.
///
/// # Safety
/// As for [`span::class_number_at`].
#[cfg(serves_c)]
#[inline(always)]
pub unsafe fn push_number_near(address: usize) -> Option<usize> {
    // SAFETY: the caller's contract.
    unsafe { FREE_TABLE.push_number_at(address) }
}
