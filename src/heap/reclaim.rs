//! Allocation that tries again: if the OS gives no more memory, the heap looks for free memory of its own.
//!
//! The free memory in depots and page caches goes back to spans and page heaps. Then the heap waits for pages in flight: they
//! are neither free nor in use while they are released, but they become free in a moment. No floor below can do this, because
//! the means belong to several floors.
//!
//! Locks: none of its own, and none is held while a thread waits here.

use core::ptr::NonNull;

use crate::caches::{Free, ThreadCache};
use crate::lock::Futex;
use crate::page_heap::Large;
use crate::size_class::info;
use crate::units::PAGE_BYTES;

use super::Heap;

/// How many times an allocation waits for pages in flight before it fails. All pauses together are longer than the kernel takes
/// for one batch in flight.
const RECLAIM_TRIES: usize = if cfg!(loom) { 2 } else { 1000 };
/// How long an allocation waits each time.
const RECLAIM_PAUSE_NS: u64 = 100_000;

impl Heap {
    /// Allocates a slot of a class when the thread's loaded magazine is empty. Null if there is no memory. `cache` is the
    /// calling thread's.
    pub fn allocate(&self, cache: Option<&ThreadCache>, class: usize) -> *mut u8 {
        let object = self.caches.allocate(cache, class);
        if !object.is_null() {
            return object;
        }
        let pages = info(class).span_pages as usize;
        self.reclaim(pages, || NonNull::new(self.caches.allocate(cache, class))).map_or(object, NonNull::as_ptr)
    }

    /// Frees a slot of a class when the magazine for the slot is full. `cache` is the calling thread's.
    ///
    /// # Safety
    /// The slot is the caller's and of that class.
    pub unsafe fn deallocate(&self, cache: Option<&ThreadCache>, class: usize, object: NonNull<u8>, free: Free) {
        // SAFETY: the caller's contract.
        unsafe { self.caches.deallocate(cache, class, object, free) }
    }

    /// Allocates a large block of at least `size` bytes. `None` if there is no memory. `shard` is the calling thread's.
    pub fn allocate_large(&self, shard: usize, size: usize, align: usize) -> Option<Large> {
        let take = || self.page_heaps().allocate_large(shard, size, align);
        let large = take().or_else(|| self.reclaim(size.div_ceil(PAGE_BYTES), take));
        self.caches.use_more_shards();
        large
    }

    /// Frees a large block. Ends the process if there is no large block at `base`.
    pub fn deallocate_large(&self, base: NonNull<u8>) {
        self.page_heaps().deallocate_large(base);
    }

    /// Makes a large block fit `size` bytes, in place or at a new place aligned to `align`. Its first `used` bytes stay. `None`
    /// if there is no memory; the block is then as it was. `shard` is the calling thread's.
    pub fn reallocate_large(
        &self,
        shard: usize,
        base: NonNull<u8>,
        used: usize,
        (size, align): (usize, usize),
    ) -> Option<NonNull<u8>> {
        if self.page_heaps().resize_large(base, size) {
            return Some(base);
        }
        let new = self.allocate_large(shard, size, align)?;
        self.page_heaps().move_large(base, used, &new);
        Some(new.base)
    }

    /// Makes free memory of the heap available to `take`, and calls `take` until it succeeds or no more memory can come free.
    /// `take` wants `pages` pages.
    #[cold]
    pub(super) fn reclaim<T>(&self, pages: usize, take: impl Fn() -> Option<T>) -> Option<T> {
        if pages > self.page_heaps().mapped_pages() {
            return None;
        }
        self.caches.trim(true);
        for _ in 0..RECLAIM_TRIES {
            // A try misses pages that are in flight while it looks. If pages were in flight before the try, or if a flight
            // began since, the next try may find these pages.
            let before = self.page_heaps().flights();
            let taken = take();
            if taken.is_some() || (before.0 == 0 && before == self.page_heaps().flights()) {
                return taken;
            }
            Futex::new(0).wait(0, Some(RECLAIM_PAUSE_NS));
        }
        None
    }
}
