//! The exchange of a thread's two magazines: the empty loaded magazine for the spare magazine.
//!
//! The exchange takes no lock, changes no account and does not wait.
//!
//! Orderings: as in `slow_path`.
//!
//! Locks: none.

#[cfg(any(serves_c, loom))]
use core::ptr::null_mut;

use crate::lock::between_stores;
use crate::size_class::{info, is_split};
use crate::sync::atomic::Ordering;

use super::magazine::{self, MagazineRef};
use super::thread_cache::ThreadCache;

/// Loads the spare magazine, if it holds enough, and takes a slot from it. Null if it holds too little.
#[cfg(any(serves_c, loom))]
#[inline]
pub fn allocate_from_spare(cache: &ThreadCache, class: usize) -> *mut u8 {
    if !cache.try_enter_slow_path() {
        return null_mut();
    }
    let object =
        if is_loaded(cache, class) || load_spare(cache, class) { pop_loaded(cache, class) } else { null_mut() };
    cache.leave_slow_path();
    object
}

/// Whether the loaded magazine has a slot.
pub(super) fn is_loaded(cache: &ThreadCache, class: usize) -> bool {
    // SAFETY: a top of the cache's own magazine or of the sentinel block.
    unsafe { (*cache.tops[class].load(Ordering::Relaxed)).load(Ordering::Relaxed) != 0 }
}

/// Exchanges the empty loaded magazine for the spare magazine, if the spare holds enough. Runs in the owner's slow path.
#[inline]
pub(super) fn load_spare(cache: &ThreadCache, class: usize) -> bool {
    let spare = cache.spares[class].load(Ordering::Relaxed);
    // An exchange is a slow path, so many allocations should follow before the next exchange. A thread with few objects
    // gets larger and larger refills until they do.
    let nearly_full = (info(class).magazine_slots as usize * 7 / 8).min(cache.refill[class].get() as usize);
    let enough = if is_split(class) { nearly_full } else { 1 };
    // SAFETY: as in `is_loaded`.
    if unsafe { magazine::filled(spare, class) } < enough {
        return false;
    }
    let loaded = cache.tops[class].load(Ordering::Relaxed);
    cache.spares[class].store(cache.sentinel(), Ordering::Release);
    between_stores();
    cache.tops[class].store(spare, Ordering::Release);
    between_stores();
    if loaded != cache.sentinel() {
        // SAFETY: a top other than the sentinel is of the cache's own magazine.
        let empty = unsafe { MagazineRef::of_top(loaded) };
        cache.spares[class].store(empty.reset(class).cast_mut(), Ordering::Release);
    }
    true
}

/// Takes a slot from the loaded magazine, which has a slot.
pub(super) fn pop_loaded(cache: &ThreadCache, class: usize) -> *mut u8 {
    // SAFETY: this is the owner's slow path; drainers leave the cache alone.
    core::ptr::with_exposed_provenance_mut(unsafe { cache.pop(class) })
}
