//! Regions: the pieces of 1 GiB into which the span map splits the address space.
//!
//! Locks: none.

use crate::units::{PAGE_SHIFT, Run};

/// A region's bytes, as a power of two.
pub const REGION_SHIFT: u32 = if cfg!(loom) { 22 } else { 30 };
/// A region's pages.
pub const REGION_PAGES: usize = 1 << (REGION_SHIFT - PAGE_SHIFT);

/// Whether a run lies in more than one region.
pub fn crosses_region(run: Run) -> bool {
    (run.first.0 & (REGION_PAGES - 1)) + run.pages > REGION_PAGES
}
