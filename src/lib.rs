//! neap: a global allocator that gives idle memory back to the OS.
#![cfg_attr(not(test), no_std)]

// Thread locals for the checks of debug builds and tests; release builds are free of std.
#[cfg(all(not(test), any(debug_assertions, loom, feature = "internals")))]
extern crate std;

pub mod lock;
pub mod sync;
pub mod sys;
pub mod units;
