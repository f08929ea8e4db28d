//! neap: a global allocator that gives idle memory back to the OS.
#![cfg_attr(
    loom,
    allow(clippy::modulo_one, clippy::absurd_extreme_comparisons, reason = "some constants shrink to one under loom")
)]
#![cfg_attr(not(test), no_std)]

// Thread locals for the checks of debug builds and tests; release builds are free of std.
// (And where the cache's words are not a symbol of our own; see `global::tls`.)
#[cfg(all(
    not(test),
    any(
        debug_assertions,
        loom,
        feature = "internals",
        not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))
    )
))]
extern crate std;

// A library for C that may unwind needs std's panic handler; the profile `preload` builds one that cannot.
#[cfg(all(neap_library, not(panic = "abort"), not(test), not(debug_assertions), not(feature = "internals")))]
extern crate std;

pub mod accounts;
#[cfg(all(serves_c, not(loom)))]
mod c_symbols;
pub mod caches;
pub mod central;
pub mod config;
#[cfg(not(loom))]
mod global;
pub mod heap;
pub mod holes;
pub mod lock;
pub mod pacing;
pub mod page_heap;
pub mod pages;
#[cfg(not(loom))]
pub mod scavenger;
pub mod size_class;
pub mod span;
pub mod sync;
pub mod sys;
pub mod units;
#[cfg(not(loom))]
pub mod unwind;

pub use accounts::stats::Stats;
#[cfg(not(loom))]
pub use global::{Neap, scavenge, stats};

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
