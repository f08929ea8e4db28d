//! The slow paths behind `GlobalAlloc`: all work except a pop or a push.
//!
//! Locks: none held here.

use core::ptr::{NonNull, from_ref, null, null_mut};

use crate::accounts::stats::Stats;
use crate::caches::{Free, ThreadCache};
use crate::config::Limit;
use crate::config::cgroup::Cgroup;
use crate::heap::Heap;
use crate::page_heap::Large;
use crate::size_class::class_of;
use crate::sys;

use super::background::{look_after, look_after_allocation};
use super::{exit, fork, process_heap, settings, tls};

/// Allocates when the fast path could not.
#[cold]
#[inline(never)]
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    let Some((heap, _pause)) = fork::enter() else { return null_mut() };
    let object = match class_of(size.max(1), align) {
        Some(class) => heap.allocate(cache(heap), class),
        None => allocate_large(heap, size, align).map_or(null_mut(), |large| large.base.as_ptr()),
    };
    look_after_allocation(heap);
    object
}

/// Allocates a large object. A program without small objects never makes a thread cache, but it needs the fork handlers, too.
fn allocate_large(heap: &'static Heap, size: usize, align: usize) -> Option<Large> {
    fork::set_handlers();
    heap.allocate_large(own_shard(heap), size, align)
}

/// Allocates a large block that reads as zero.
#[cold]
#[inline(never)]
pub fn allocate_zeroed(size: usize, align: usize) -> *mut u8 {
    if size == 0 {
        // There is nothing to zero. `allocate` takes the same class that the free will find.
        return allocate(size, align);
    }
    let Some((heap, _pause)) = fork::enter() else { return null_mut() };
    let Some(large) = allocate_large(heap, size, align) else { return null_mut() };
    if !large.zeroed {
        // SAFETY: the block has `size` bytes, and nobody else has it.
        unsafe { large.base.as_ptr().write_bytes(0, size) };
    }
    look_after_allocation(heap);
    large.base.as_ptr()
}

/// Frees when the fast path could not.
///
/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[cold]
#[inline(never)]
pub unsafe fn deallocate(object: *mut u8, size: usize, align: usize) {
    let (Some((heap, _pause)), Some(object)) = (fork::enter(), NonNull::new(object)) else { return };
    match class_of(size.max(1), align) {
        // SAFETY: the object is the caller's.
        Some(class) => unsafe { heap.deallocate(cache(heap), class, object, Free::ByLayout) },
        None => heap.deallocate_large(object),
    }
    look_after(heap);
}

/// In builds with debug assertions: ends the process if the object cannot be a live object of the class.
#[cfg(debug_assertions)]
pub fn check_free(object: *mut u8, class: usize) {
    if let Some((heap, _pause)) = fork::enter() {
        heap.caches().check_free(own_cache(), object.addr(), class);
    }
}

/// The calling thread's cache, if it has one.
fn own_cache() -> Option<&'static ThreadCache> {
    // SAFETY: the words are the thread's own.
    unsafe { tls::words().cache() }
}

/// The calling thread's cache. If the thread has no cache, this call makes the cache. `None` if the thread has given its cache
/// back, if there is no memory for a cache, or if the thread's exit cannot be noticed.
#[inline]
fn cache(heap: &'static Heap) -> Option<&'static ThreadCache> {
    own_cache().or_else(|| if tls::words().is_gone() { None } else { make_cache(heap) })
}

#[cold]
fn make_cache(heap: &'static Heap) -> Option<&'static ThreadCache> {
    // SAFETY: the words are the thread's own; the thread has no cache, and had none.
    let cache = unsafe { heap.caches().make_cache(tls::words()) }?;
    let noticed = exit::notice(cache);
    fork::set_handlers();
    if !noticed {
        // SAFETY: the words are the thread's own.
        unsafe { heap.give_back_cache(tls::words()) };
        return None;
    }
    Some(cache)
}

/// [`cache`] for a free by C. The C library also frees in threads that have ended except for giving their stack back. If such a
/// thread got its first cache here, nobody would notice when the thread's words go. So it gets no cache.
#[cfg(serves_c)]
#[inline]
pub fn cache_for_free_by_c(heap: &'static Heap) -> Option<&'static ThreadCache> {
    own_cache().or_else(|| {
        if tls::words().is_gone() {
            return None;
        }
        if sys::thread::has_ended() {
            // SAFETY: the words are the thread's own.
            unsafe { heap.give_back_cache(tls::words()) };
            return None;
        }
        make_cache(heap)
    })
}

/// The calling thread's shard.
pub fn own_shard(heap: &Heap) -> usize {
    match own_cache() {
        Some(cache) => heap.caches().shard_of(cache),
        // Threads without small objects have no cache. They are spread, too: in one shard they would wait for each other.
        None => heap.accounts().shards.of(sys::thread::gettid() as usize),
    }
}

/// See [`super::scavenge`].
pub fn scavenge() -> usize {
    if !process_heap::is_ready() {
        return 0;
    }
    let Some((heap, _pause)) = fork::enter() else { return 0 };
    let own = own_cache();
    if let Some(cache) = own {
        heap.caches().flush_own_cache(cache);
    }
    sys::membarrier::register();
    heap.scavenge_all(own.map_or(null(), from_ref))
}

/// See [`super::stats`]. The heap is not made for it: a heap that nothing was allocated from is not the program's.
pub fn stats() -> Stats {
    if !process_heap::is_ready() {
        return Stats::default();
    }
    let Some((heap, _pause)) = fork::enter() else { return Stats::default() };
    let mut stats = heap.stats();
    stats.active = true;
    stats.limit_bytes = limit_bytes();
    stats
}

/// The memory limit in force: the user's, else the cgroup's as it is now; 0 without a limit.
fn limit_bytes() -> u64 {
    match settings::config().limit {
        Limit::None => 0,
        Limit::Bytes(bytes) => bytes,
        Limit::Cgroup => Cgroup::find(sys::file::read_small).limit_bytes.unwrap_or(0),
    }
}
