//! The registry: every live thread cache, and the memory of caches that were given back.
//!
//! Locks: one (rank registry). While it is held, no system call is made and no other lock is taken.

use core::ptr::{NonNull, null_mut};

use super::thread_cache::ThreadCache;

/// The list of caches. Every access is under the registry's lock.
pub struct Registry {
    head: *mut ThreadCache,
    free: *mut ThreadCache,
    live: usize,
    created: usize,
}

// SAFETY: the caches behind the pointers stay in the metadata store for ever; the lock around this value protects the links.
unsafe impl Send for Registry {}

impl Registry {
    /// No caches.
    pub const fn new() -> Self {
        Self { head: null_mut(), free: null_mut(), live: 0, created: 0 }
    }

    /// How many caches are live.
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many caches were registered so far. The number spreads threads over shards.
    pub fn created(&self) -> usize {
        self.created
    }

    /// Takes the memory of a cache that was given back.
    pub fn reuse(&mut self) -> Option<NonNull<ThreadCache>> {
        let cache = NonNull::new(self.free)?;
        // SAFETY: the memory of a cache that was given back stays valid; the registry's lock protects the link.
        self.free = unsafe { cache.as_ref() }.next.get();
        Some(cache)
    }

    /// Registers a cache.
    ///
    /// # Safety
    /// The cache is initialised, not registered, and stays valid until [`Registry::remove`].
    pub unsafe fn add(&mut self, cache: NonNull<ThreadCache>) {
        // SAFETY: the caller's contract; the registry's lock protects the links.
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
        // SAFETY: the caller's contract; the registry's lock protects the links.
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
    /// The cache is removed and empty, and its owner does not use it again.
    pub unsafe fn recycle(&mut self, cache: NonNull<ThreadCache>) {
        // SAFETY: the caller's contract; the registry's lock protects the link.
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
