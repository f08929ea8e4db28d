//! Spans: runs of pages that hold one size class or one large object, and the look-up of the span that holds an address.
//!
//! - `record`: a span's record, which lies outside the span, and the handle to the record.
//! - `map`: leads from an address to its span in two dependent loads.
//! - `region`: the regions that the map splits the address space into.
//! - `free_table` (builds that serve C): leads from a page to the magazine that a free goes onto, in one load.
//!
//! Locks: none. A small span's record belongs to whoever holds the lock of its central.

#[cfg(serves_c)]
mod free_table;
mod map;
mod record;
mod region;

#[cfg(serves_c)]
pub use free_table::FreeTable;
#[cfg(serves_c)]
pub use map::class_number_at;
#[cfg(not(loom))]
pub use map::no_regions;
pub use map::{REGION_METADATA_BYTES, Regions, SpanMap, TABLE_BYTES};
#[cfg(any(debug_assertions, test))]
pub use record::STATE_SMALL;
pub use record::{RECORD_BYTES, STATE_LARGE, Span};
pub use region::{REGION_BYTES, crosses_region};

#[cfg(all(test, not(loom)))]
pub(crate) mod tests;
