//! Two allocators in one binary: every call goes to the system's or to neap, as the environment says.
//!
//! A program has one global allocator, chosen when it is built. To run the same machine code under both, this one
//! looks at an environment variable before the first allocation and forwards for the rest of the process's life.
//! `getenv` neither allocates nor locks, and nothing changes the variable. Each call pays one load and one branch, the same
//! under both allocators. Memory is not affected. Your own program needs no switch: it names `neap::Neap` itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering};

use neap::Neap;

/// The variable that names the allocator; set only in the child processes.
pub const VARIABLE: &CStr = c"RSS_AFTER_BURST_ALLOCATOR";

const UNDECIDED: u8 = 0;
const SYSTEM: u8 = 1;
const NEAP: u8 = 2;

/// The system allocator, or neap.
pub struct Switch {
    neap: Neap,
    /// Written once before `main`, when there is one thread; a repeated decision would be the same. Relaxed: it
    /// guards no other data.
    chosen: AtomicU8,
}

impl Switch {
    pub const fn new() -> Self {
        Self { neap: Neap::new(), chosen: AtomicU8::new(UNDECIDED) }
    }

    #[inline]
    fn is_neap(&self) -> bool {
        match self.chosen.load(Ordering::Relaxed) {
            UNDECIDED => self.decide(),
            chosen => chosen == NEAP,
        }
    }

    #[cold]
    fn decide(&self) -> bool {
        // SAFETY: the name ends in NUL, and no thread of this program writes to the environment.
        let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
        // SAFETY: getenv gives null or a string that ends in NUL and stays while nobody writes to the environment.
        let is_neap = !value.is_null() && unsafe { CStr::from_ptr(value) } == c"neap";
        self.chosen.store(if is_neap { NEAP } else { SYSTEM }, Ordering::Relaxed);
        is_neap
    }
}

// SAFETY: every call is forwarded unchanged to an allocator that keeps the contract, and `chosen` never changes once
// it is decided, so a block goes back to the allocator it came from.
unsafe impl GlobalAlloc for Switch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the callee's.
        unsafe { if self.is_neap() { self.neap.alloc(layout) } else { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the callee's.
        unsafe { if self.is_neap() { self.neap.alloc_zeroed(layout) } else { System.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the callee's, and the block came from the same allocator.
        unsafe { if self.is_neap() { self.neap.dealloc(block, layout) } else { System.dealloc(block, layout) } }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's contract is the callee's, and the block came from the same allocator.
        unsafe {
            if self.is_neap() { self.neap.realloc(block, layout, bytes) } else { System.realloc(block, layout, bytes) }
        }
    }
}
