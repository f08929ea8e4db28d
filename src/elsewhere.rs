//! What neap is where it has no heap of its own: the system's allocator under neap's names.
//!
//! So a program that is built for many systems needs no `cfg`. `build.rs` decides where (`has_own_heap`). Rejected: an error at
//! compile time, which one member of a workspace would cause for all members.
//!
//! Where there is no operating system there is no system's allocator, and every allocation answers null.
//!
//! Locks: none.

// By path: the rest of the accounts is our heap's.
#[path = "accounts/stats.rs"]
mod stats;

use core::alloc::{GlobalAlloc, Layout};
#[cfg(has_system)]
use std::alloc::System;

pub use stats::Stats;

/// The allocator. On this system it hands everything through to `std::alloc::System`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Neap;

impl Neap {
    /// The allocator.
    #[inline]
    pub const fn new() -> Self {
        Self
    }
}

/// The allocator of a target without an operating system: it has no memory.
#[cfg(not(has_system))]
struct System;

// SAFETY: null is always allowed, and nothing is handed out that could be freed.
#[cfg(not(has_system))]
unsafe impl GlobalAlloc for System {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

// SAFETY: every call is the system allocator's own, with the caller's contract.
unsafe impl GlobalAlloc for Neap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(object, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.realloc(object, layout, new_size) }
    }
}

/// Releases nothing on this system, and answers 0.
pub fn scavenge() -> usize {
    0
}

/// A snapshot that says that neap is not active ([`Stats::active`]); all numbers are zero.
pub fn stats() -> Stats {
    Stats::default()
}
