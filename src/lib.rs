//! A global allocator for Linux that gives idle memory back to the operating system.
//!
//! ```
//! #[global_allocator]
//! static GLOBAL: neap::Neap = neap::Neap::new();
//!
//! fn main() {
//!     let objects: Vec<Box<[u8]>> = (0..1_000).map(|_| vec![1u8; 300].into()).collect();
//!     drop(objects); // A background thread gives this memory back after a while...
//!     neap::scavenge(); // ...and this call gives it back now.
//! }
//! ```
//!
//! The static is all that a program needs. Two functions are there for programs that want to know more:
//!
//! - [`stats`] answers where the heap's memory is: in use, free and backed, or released.
//! - [`scavenge`] releases nearly all free memory now and answers how many bytes it released.
//!
//! No setting is needed. [`settings`](https://docs.rs/neap/latest/neap/settings/) lists the environment variables. They tell the
//! allocator facts that it cannot know, such as a limit. [`architecture`](https://docs.rs/neap/latest/neap/architecture/) tells
//! how the allocator works.
//!
//! # Limits
//!
//! - Linux on 64-bit processors.
//! - One heap a process: the Rust global allocator. C code in the same program keeps its own `malloc`, unless the feature
//!   `c-symbols` is on.
//! - Objects do not move, so an OS page that holds a live object cannot be released.
//!
//! # Errors and panics
//!
//! If there is no memory, the allocator returns null. It never aborts and never panics for this reason. Rust's collections turn
//! the null into their own error. Misuse that the allocator notices (a double free, a pointer from elsewhere) ends the process
//! with one line on the standard error stream.
#![cfg_attr(
    loom,
    allow(clippy::modulo_one, clippy::absurd_extreme_comparisons, reason = "some constants shrink to one under loom")
)]
#![cfg_attr(not(test), no_std)]

// The checks of debug builds and tests need std's thread locals. So do the thread's words on platforms where they are not a
// symbol of our own (`global::tls`). All other builds are free of std.
#[cfg(all(
    own_heap,
    not(test),
    any(debug_assertions, loom, feature = "internals", not(any(target_arch = "x86_64", target_arch = "aarch64")))
))]
extern crate std;

// The system's allocator, where it takes our place.
#[cfg(all(not(own_heap), has_system, not(test)))]
extern crate std;

// A library for C that may unwind needs std's panic handler. The profile `preload` builds a library that cannot unwind.
#[cfg(all(neap_library, not(panic = "abort"), not(test), not(debug_assertions), not(feature = "internals")))]
extern crate std;

#[cfg(own_heap)]
mod accounts;
#[cfg(all(own_heap, serves_c, not(loom)))]
mod c_symbols;
#[cfg(own_heap)]
mod caches;
#[cfg(own_heap)]
mod central;
#[cfg(own_heap)]
mod config;
#[cfg(not(own_heap))]
mod elsewhere;
#[cfg(all(own_heap, not(loom)))]
mod global;
#[cfg(own_heap)]
mod heap;
#[cfg(own_heap)]
mod holes;
#[cfg(all(own_heap, feature = "internals"))]
#[doc(hidden)]
pub mod internals;
#[cfg(own_heap)]
mod lock;
#[cfg(own_heap)]
mod pacing;
#[cfg(own_heap)]
mod page_heap;
#[cfg(own_heap)]
mod pages;
#[cfg(all(own_heap, not(loom)))]
mod scavenger;
#[cfg(own_heap)]
mod size_class;
#[cfg(own_heap)]
mod span;
#[cfg(own_heap)]
mod sync;
#[cfg(own_heap)]
mod sys;
#[cfg(own_heap)]
mod units;
// For profiles: builds without the door to the parts do not use it.
#[cfg(all(own_heap, any(test, feature = "internals"), not(loom)))]
mod unwind;

#[cfg(own_heap)]
pub use accounts::stats::Stats;
#[cfg(not(own_heap))]
pub use elsewhere::{Neap, Stats, scavenge, stats};
#[cfg(all(own_heap, not(loom)))]
pub use global::{Neap, scavenge, stats};

/// How neap works inside: the floors, the life of an allocation, of a free and of a page, and the locks.
#[cfg(doc)]
#[doc = include_str!("../ARCHITECTURE.md")]
pub mod architecture {}

/// The settings: environment variables that are read at start-up. None is needed.
///
/// A wrong value or an unknown name that begins with `NEAP_` gives one line on the standard error stream and changes nothing. The
/// line names the variable, the value and what is accepted. A program that runs with other rights than its user's (setuid)
/// ignores all variables.
///
/// | variable | accepted | default | meaning |
/// |---|---|---|---|
/// | `NEAP_SCAVENGER` | `on`, `off` | `on` | The background thread. Without it, slow paths do a bounded part of its work now and then. |
/// | `NEAP_LIMIT` | a size, `cgroup`, `none` | `cgroup` | Near this much memory, free memory is released at once. |
/// | `NEAP_HARD_LIMIT` | a size, `none` | `none` | The heap never maps more; allocations fail instead. |
/// | `NEAP_RETAIN_MAX` | a size, `none` | `none` | Free memory beyond this is released, whatever the demand was. |
/// | `NEAP_THP` | `auto`, `on`, `off` | `auto` | Transparent huge pages: asked for once the heap is larger than a MiB, from the start, or never. |
///
/// A size is a number of bytes, or a number with a unit: `512M`, `2GiB`.
#[cfg(doc)]
pub mod settings {}

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
