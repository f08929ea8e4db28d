//! The global allocator: the process's one heap behind `GlobalAlloc`.
//!
//! The fast paths are inlined into the caller; with a constant layout the class is a constant too. Everything else is one
//! out-of-line call that is made in tail position.
//!
//! Locks: none on the fast paths.

mod background;
#[cfg(serves_c)]
pub(crate) mod by_address;
mod exit;
mod fast;
mod fork;
mod inline_scavenger;
mod process_heap;
mod reallocate;
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
/// Out of memory gives null. A double free, or a pointer that is not this heap's, ends the process with one line on the
/// standard error stream where it is seen: at once for large objects, for others when the slot returns to its span (in
/// builds with debug assertions at the free itself, unless the slot lies in the depot or in another thread's magazine by
/// then). Never unwinds.
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
// - memory handed out is a slot or a run that nobody else has, at least as large and as aligned as the layout asks
//   (size class invariant 1, span map, page allocator); it stays so until it is freed;
// - nothing here unwinds: failures are null or the end of the process;
// - layouts are honoured for every alignment; see `slow` for those above a page.
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
            // SAFETY: the object has that many bytes and is nobody else's.
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

/// Gives all free memory back to the OS now, the caches of idle threads included, and answers how many bytes that was.
///
/// May be called from any thread at any time, and takes as long as the kernel needs: about 60 ms for a GiB of 4 KiB pages,
/// a few times that where huge pages must be split. Memory in the magazines of threads that are running stays with them
/// until they next exchange one; at most one object of each size class stays in the cache of an idle thread.
/// Never fails: 0 means that there was nothing to give.
pub fn scavenge() -> usize {
    slow::scavenge()
}

/// A snapshot of the heap's accounts. Never fails; all zero before the first allocation.
pub fn stats() -> Stats {
    slow::stats()
}
