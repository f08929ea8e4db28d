//! The page allocator: which pages are free, which free pages are released, and where the lowest run that fits lies.
//!
//! It is a pure data structure. The caller supplies zeroed memory for it and holds the heap lock around every call, so
//! tables, property tests and fuzzing drive the very code that the allocator runs.
//!
//! Each chunk has two bitmaps, `free` and `scavenged`. A tree of summaries with five levels stands above the bitmaps: each
//! summary says how long the free run at the start of its node is, the longest one inside, and the one at the end. A set
//! bit means "free", so zeroed memory reads as "nothing here", and a fresh `Root` is valid before anybody writes to it.
//!
//! Start reading in `allocator` (what a caller can do), then `search` (first fit), `table` and `root` (the tree from the
//! top down), `bits` and `word` (one chunk). `candidate` finds what to release next, `cache` takes 64 pages at once.
//!
//! Invariants (`validate` checks them, everything relies on them):
//! 1. A scavenged page is free.
//! 2. A free page is mapped: bits and summaries of an unmapped chunk are zero and have never been written.
//! 3. Each summary is what its children (or its bitmap) say, but changes of one chunk may be pending (see `table`).
//! 4. A search address lies in mapped memory, and no free run of its size starts below the address.
//! 5. The counters equal the population counts of the bitmaps.
//!
//! Locks: none; the caller holds the heap lock. This folder never maps or releases memory and never panics in release
//! builds: it answers misuse with a [`Fault`] before it has changed anything.
#![forbid(unsafe_code)]

mod allocator;
mod bits;
mod cache;
mod candidate;
mod fault;
mod ranges;
mod root;
mod search;
mod search_addresses;
mod summary;
mod table;
mod word;

#[cfg(any(test, feature = "internals"))]
pub mod model;
#[cfg(any(test, feature = "internals"))]
mod validate;

pub use allocator::{PageAllocator, Taken};
#[cfg(any(test, feature = "internals"))]
pub use cache::CACHE_PAGES;
pub use cache::{CACHE_RUN_LIMIT, PageCache};
#[cfg(feature = "internals")]
pub use candidate::Candidate;
pub use fault::Fault;
#[cfg(any(test, feature = "internals"))]
pub use fault::FaultKind;
#[cfg(feature = "internals")]
pub use ranges::{ChunkRange, MappedRanges};
pub use root::Root;
pub use table::RootTable;

#[cfg(feature = "internals")]
pub use validate::Disagreement;

#[cfg(test)]
mod tests;
