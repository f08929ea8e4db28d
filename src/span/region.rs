//! Regions: the pieces of 1 GiB that the span map splits the address space into.
//!
//! Locks: none.

use crate::units::{PAGE_SHIFT, Run};

/// log2 of a region's bytes.
pub const REGION_SHIFT: u32 = if cfg!(loom) { 22 } else { 30 };
/// Bytes in a region.
pub const REGION_BYTES: usize = 1 << REGION_SHIFT;
/// Pages in a region.
pub const REGION_PAGES: usize = 1 << (REGION_SHIFT - PAGE_SHIFT);

/// Whether a run lies in more than one region.
pub fn crosses_region(run: Run) -> bool {
    (run.first.0 & (REGION_PAGES - 1)) + run.pages > REGION_PAGES
}
