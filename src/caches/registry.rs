//! The registry: every live thread cache, and the memory of caches given back.
//!
//! Locks: one (rank registry). Never: a system call, or another lock taken, while it is held.

use core::ptr::{NonNull, null_mut};

use super::thread_cache::ThreadCache;

/// The list of caches. Used under its lock.
pub struct Registry {
    head: *mut ThreadCache,
    free: *mut ThreadCache,
    live: usize,
    created: usize,
}

// SAFETY: the caches behind the pointers live in the metadata store for ever; the links are protected by the lock
// around this value.
unsafe impl Send for Registry {}

impl Registry {
    /// No caches.
    pub const fn new() -> Self {
        Self { head: null_mut(), free: null_mut(), live: 0, created: 0 }
    }

    /// Live caches.
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many caches were registered so far: spreads threads over shards.
    pub fn created(&self) -> usize {
        self.created
    }

    /// Memory of a cache that was given back.
    pub fn reuse(&mut self) -> Option<NonNull<ThreadCache>> {
        let cache = NonNull::new(self.free)?;
        // SAFETY: given back caches stay valid memory; the link is under this lock.
        self.free = unsafe { cache.as_ref() }.next.get();
        Some(cache)
    }

    /// Registers a cache.
    ///
    /// # Safety
    /// The cache is initialised, not registered, and stays valid until [`Registry::remove`].
    pub unsafe fn add(&mut self, cache: NonNull<ThreadCache>) {
        // SAFETY: the caller's contract; links are under this lock.
        unsafe {
            cache.as_ref().previous.set(null_mut());
            cache.as_ref().next.set(self.head);
            if let Some(head) = self.head.as_ref() {
                head.previous.set(cache.as_ptr());
            }
        }
        self.head = cache.as_ptr();
        self.live += 1;
        self.created += 1;
    }

    /// Removes a cache.
    ///
    /// # Safety
    /// The cache is registered, and nobody drains it.
    pub unsafe fn remove(&mut self, cache: NonNull<ThreadCache>) {
        // SAFETY: the caller's contract; links are under this lock.
        unsafe {
            let (previous, next) = (cache.as_ref().previous.get(), cache.as_ref().next.get());
            match previous.as_ref() {
                Some(previous) => previous.next.set(next),
                None => self.head = next,
            }
            if let Some(next) = next.as_ref() {
                next.previous.set(previous);
            }
        }
        self.live -= 1;
    }

    /// Keeps the memory of a removed cache for [`Registry::reuse`].
    ///
    /// # Safety
    /// The cache is removed and empty, and its owner will not use it again.
    pub unsafe fn recycle(&mut self, cache: NonNull<ThreadCache>) {
        // SAFETY: the caller's contract; the link is under this lock.
        unsafe { cache.as_ref().next.set(self.free) };
        self.free = cache.as_ptr();
    }

    /// The live caches.
    pub fn iter(&self) -> impl Iterator<Item = &ThreadCache> {
        let mut at = self.head;
        core::iter::from_fn(move || {
            // SAFETY: registered caches are valid, and the lock keeps them registered.
            let cache = unsafe { at.as_ref() }?;
            at = cache.next.get();
            Some(cache)
        })
    }
}
