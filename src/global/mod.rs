//! The global allocator: the one heap of the process, behind `GlobalAlloc` and behind C's functions.
//!
//! - `fast`: the fast paths, inlined into the caller. `slow`, `reallocate`: the paths behind them.
//! - `by_address` (builds that serve C): operations that know only an object's address.
//! - `tls`: the words of a thread. `sentinel`: the cache of threads without a cache. `exit`: what a thread does at its exit.
//! - `process_heap`: the heap and its tables. `settings`: the settings of the process.
//! - `fork`: the fork handlers.
//! - `background`: starts the scavenger, or does its work. `scavenger_state`: what the scavenger knows, which outlives its thread.
//!
//! Only this folder has statics, with the exceptions that tests/tidy/rules.rs lists.
//!
//! Locks: none on the fast paths.

mod background;
#[cfg(serves_c)]
pub(crate) mod by_address;
mod exit;
mod fast;
mod fork;
mod process_heap;
mod reallocate;
mod scavenger_state;
mod sentinel;
mod settings;
mod slow;
mod tls;

use core::alloc::{GlobalAlloc, Layout};

use crate::accounts::stats::Stats;
use crate::size_class::class_of;

/// The allocator. All values are the same: the process has one heap.
///
/// ```
/// #[global_allocator]
/// static GLOBAL: neap::Neap = neap::Neap::new();
/// # fn main() { assert_eq!(vec![1u8; 100].len(), 100); }
/// ```
///
/// If there is no memory, an allocation returns null. Nothing here unwinds.
///
/// A double free, or a free of a pointer that is not this heap's, ends the process with one line on the standard error stream.
/// The allocator notices it at once for a large object, and for a small object when its slot returns to its span,
/// unless the slot was handed out again before. Builds with
/// debug assertions notice it at the free itself, unless the slot lies in a depot or in another thread's magazine by then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Neap;

impl Neap {
    /// The allocator.
    #[inline]
    pub const fn new() -> Self {
        Self
    }
}

// SAFETY:
// - an allocation is a slot or a run that nobody else has until it is freed. It is at least as large and as aligned as the
//   layout asks (size class invariant 1, span map, page allocator);
// - nothing here unwinds: a failure is null, or the end of the process;
// - every alignment is honoured: a large object is aligned by its run (`Heap::allocate_large`).
unsafe impl GlobalAlloc for Neap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        fast::allocate(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { fast::deallocate(object, layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if class_of(size, align).is_none() {
            return slow::allocate_zeroed(size, align);
        }
        // SAFETY: the caller's contract.
        let object = unsafe { self.alloc(layout) };
        if !object.is_null() {
            // SAFETY: the object has `size` bytes, and nobody else has it.
            unsafe { object.write_bytes(0, size) };
        }
        object
    }

    #[inline]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let (old_class, new_class) = (class_of(layout.size(), layout.align()), class_of(new_size, layout.align()));
        match (old_class, new_class) {
            (Some(old), Some(new)) if old == new => object,
            // SAFETY: the caller's contract.
            (Some(_), Some(_)) => unsafe { reallocate::by_moving(object, layout, new_size) },
            // SAFETY: as above.
            _ => unsafe { reallocate::reallocate(object, layout, new_size) },
        }
    }
}

/// Releases free memory to the OS now, with the memory in the caches of other threads. Returns how many bytes were released.
///
/// Any thread may call this function at any time. The call takes as long as the kernel needs to release the pages, and longer
/// if the kernel must split huge pages. A thread that exchanges a magazine at this moment keeps its magazines. Every other
/// thread keeps at most one free object of each size class. The call never fails: 0 means that no memory was free, or that
/// this copy of neap is not the program's allocator ([`Stats::active`]).
pub fn scavenge() -> usize {
    slow::scavenge()
}

/// A snapshot of the heap's accounts. The call never fails. Before the first allocation, and if this copy of neap is not the
/// program's allocator, the snapshot is not active ([`Stats::active`]) and all numbers are zero.
pub fn stats() -> Stats {
    slow::stats()
}
