//! The page heap's bookkeeping: which pages are free, which of those are released, and where the next run is.
//!
//! A pure data structure: the caller supplies zeroed memory for it and holds the heap lock around every call. That
//! way tables, property tests and fuzzing drive the very code the allocator runs.
//!
//! Per chunk there are two bitmaps, `free` and `scavenged`; above them a five-level tree of summaries says how long
//! the free runs at the start, at the end and anywhere inside a node are. "Free" is the set bit, so that zeroed memory
//! reads as "nothing here": a fresh `Root` is valid without being written.
//!
//! Invariants (checked by `validate`, relied on everywhere):
//! 1. scavenged implies free;
//! 2. free implies mapped: the bits and summaries of an unmapped chunk are zero and have never been written;
//! 3. each summary is what its children (or its bitmap) say, those above one chunk what it said a while ago (see `table`);
//! 4. a search address lies in mapped memory, and no free run of its size starts below it;
//! 5. the counters equal the population counts of the bitmaps.
//!
//! Locks: none taken; the caller holds the heap lock. Never maps or releases memory, never panics in release builds:
//! misuse comes back as a [`Fault`] before anything has changed.
#![forbid(unsafe_code)]

mod allocator;
mod bits;
mod cache;
mod candidate;
mod fault;
mod hints;
mod ranges;
mod root;
mod search;
mod summary;
mod table;
mod word;

#[cfg(any(test, feature = "internals"))]
pub mod model;
#[cfg(any(test, feature = "internals"))]
mod op;
#[cfg(any(test, feature = "internals"))]
mod validate;

pub use allocator::{PageAllocator, Taken};
pub use cache::{CACHE_PAGES, CACHE_RUN_LIMIT, PageCache};
pub use candidate::Candidate;
pub use fault::{Fault, FaultKind};
pub use ranges::{ChunkRange, MappedRanges};
pub use root::Root;
pub use table::RootTable;

#[cfg(any(test, feature = "internals"))]
pub use validate::Disagreement;

#[cfg(test)]
mod tests;
