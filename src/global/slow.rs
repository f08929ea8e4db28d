//! The slow paths behind `GlobalAlloc`: everything but a pop or a push.
//!
//! Orderings: Relaxed, on the thread's own word.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use crate::heap::{self, Free, Heap, Large};
use crate::scavenger::Scavenger;
use crate::size_class::class_of;
use crate::stats::Stats;
use crate::sync::atomic::Ordering;
use crate::sys;
use crate::thread_cache::{ThreadCache, gone};

use super::{Neap, fork, statics, tls};

/// The scavenger thread's stack: its state and the batches of a release.
const SCAVENGER_STACK_BYTES: usize = 128 << 10;

/// Allocates when the fast path could not.
#[cold]
#[inline(never)]
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    let Some((heap, _pause)) = fork::enter() else { return null_mut() };
    let object = match class_of(size.max(1), align) {
        // SAFETY: the thread's own words.
        Some(class) => unsafe { heap::allocate_slow(heap, tls::slot(), class, on_new_cache) },
        None => allocate_large(heap, size, align).map_or(null_mut(), |large| large.base.as_ptr()),
    };
    look_after_allocation(heap);
    object
}

/// A program that allocates nothing small never makes a thread cache, and needs the fork handlers all the same.
fn allocate_large(heap: &Heap, size: usize, align: usize) -> Option<Large> {
    statics::set_fork_handlers();
    heap.allocate_large(own_shard(heap), size, align)
}

/// Allocates a large block that reads as zero.
#[cold]
#[inline(never)]
pub fn allocate_zeroed(size: usize, align: usize) -> *mut u8 {
    if size == 0 {
        // Nothing to zero, and the class must be the one that the free will find.
        return allocate(size, align);
    }
    let Some((heap, _pause)) = fork::enter() else { return null_mut() };
    let Some(large) = allocate_large(heap, size, align) else { return null_mut() };
    if !large.zeroed {
        // SAFETY: the block has that many bytes and is nobody else's.
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
        // SAFETY: the thread's own words; the object is the caller's.
        Some(class) => unsafe { heap::deallocate_slow(heap, tls::slot(), class, object, Free::ByLayout, on_new_cache) },
        None => heap.deallocate_large(object),
    }
    look_after(heap);
}

/// Reallocates where the class changes, or only one of the two is of a class.
///
/// # Safety
/// As for `GlobalAlloc::realloc`.
#[inline(never)]
pub unsafe fn reallocate_by_moving(object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the new size does not overflow when rounded up to the alignment (the caller's contract).
    let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
    // SAFETY: the caller's contract; the blocks do not overlap.
    unsafe {
        let new = Neap.alloc(new_layout);
        if !new.is_null() {
            core::ptr::copy_nonoverlapping(object, new, layout.size().min(new_size));
            Neap.dealloc(object, layout);
        }
        new
    }
}

/// Reallocates where the object is large, before or after, or one of the sizes is 0.
///
/// # Safety
/// As for `GlobalAlloc::realloc`.
#[cold]
#[inline(never)]
pub unsafe fn reallocate(object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    let (size, align) = (layout.size(), layout.align());
    if class_of(size.max(1), align).or(class_of(new_size.max(1), align)).is_some() {
        // SAFETY: the caller's contract.
        return unsafe { reallocate_by_moving(object, layout, new_size) };
    }
    let (Some((heap, _pause)), Some(base)) = (fork::enter(), NonNull::new(object)) else { return null_mut() };
    let result = if heap.resize_large(base, new_size) {
        object
    } else {
        heap.move_large(own_shard(heap), base, size, (new_size, align)).map_or(null_mut(), NonNull::as_ptr)
    };
    look_after_allocation(heap);
    result
}

/// In builds with debug assertions: ends the process if the object cannot be a live one of the class.
#[cfg(debug_assertions)]
pub fn check_free(object: *mut u8, class: usize) {
    if let Some((heap, _pause)) = fork::enter() {
        // SAFETY: as in `scavenge`.
        heap.check_free(unsafe { own_cache().as_ref() }, object.addr(), class);
    }
}

/// The calling thread's cache, or null.
fn own_cache() -> *mut ThreadCache {
    let own = tls::slot().own.load(Ordering::Relaxed);
    if own == gone() { null_mut() } else { own }
}

/// The calling thread's shard.
pub(super) fn own_shard(heap: &Heap) -> usize {
    // SAFETY: null, or the calling thread's cache, which stays until the thread gives it back.
    match unsafe { own_cache().as_ref() } {
        Some(cache) => heap.shard_of(cache),
        // With one shard for all threads that allocate nothing small, they would wait for each other.
        None => heap.shard_without_cache(sys::thread::gettid() as usize),
    }
}

/// A cache was made for the calling thread: its exit must be noticed. Whether it will be.
pub(super) fn on_new_cache() -> bool {
    let own = tls::slot().own.load(Ordering::Relaxed);
    // SAFETY: any value but null will do; the destructor looks at the thread's words.
    let noticed = statics::exit_key().is_some_and(|key| unsafe { sys::thread::exit_key_set(key, own.cast()) });
    statics::set_fork_handlers();
    noticed
}

/// The same in a free by C. Those also come from threads that have ended but for giving their stack back: one of them that
/// never allocated would get its first cache then, and nobody would be told that its words are gone.
#[cfg(serves_c)]
pub(super) fn on_new_cache_in_free_by_c() -> bool {
    !sys::thread::has_ended() && on_new_cache()
}

/// At the end of a slow path, outside everything: starts the scavenger if it is asked for.
#[inline]
pub(super) fn look_after(heap: &'static Heap) {
    if heap.wakeup().wants_thread() {
        start_scavenger(heap);
    }
}

/// The same after an allocation. Where C's frees use the heap it looks ahead, because those start no thread.
#[inline]
pub(super) fn look_after_allocation(heap: &'static Heap) {
    #[cfg(serves_c)]
    heap.wakeup().ask_ahead(heap.counters().in_use_bytes() as u64);
    look_after(heap);
}

/// The same after a free by C, which never starts the thread: the C library frees what belonged to ended threads under the
/// lock of its cache of stacks, and starting a thread takes that lock. A request stays for the next allocation.
/// (The C library's allocations are made under no lock that starting a thread would wait for: the dynamic linker's
/// are recursive, and the default attributes', which `pthread_getattr_default_np` copies under one, are not asked for.)
#[cfg(serves_c)]
#[inline]
pub(super) fn look_after_free_by_c(heap: &'static Heap) {
    if heap.wakeup().wants_thread() && !statics::config().scavenger {
        start_scavenger(heap);
    }
}

struct ScavengerThread;

impl sys::thread::Body for ScavengerThread {
    const NAME: &'static core::ffi::CStr = c"neap-scavenger";

    unsafe fn run(_argument: *mut core::ffi::c_void) {
        if let Some(heap) = statics::heap() {
            sys::membarrier::register();
            Scavenger::new(statics::config()).run(heap);
        }
    }
}

#[cold]
fn start_scavenger(heap: &'static Heap) {
    // A free may end here, and a free leaves `errno` alone.
    let _saved = sys::errno::Saved::new();
    if fork::is_unsettled() {
        // The request stands for the next slow path.
        return;
    }
    if sys::time::monotonic_ns() < statics::inline_deadline_ns() {
        // The work is done inline, and not due yet; the request stands.
        return;
    }
    if tls::slot().own.load(Ordering::Relaxed) == gone() {
        // The thread is about to end; the C library may be freeing its stack, under a lock that starting another needs.
        return;
    }
    if !statics::config().scavenger {
        return scavenge_inline(heap);
    }
    // A fork in a signal handler finds the thread started or not even claimed: its child knows that there is none.
    let blocked = sys::signal::Blocked::new();
    if !heap.wakeup().claim_start() {
        return;
    }
    // SAFETY: the thread takes no argument.
    if !unsafe { sys::thread::spawn_detached::<ScavengerThread>(null_mut(), SCAVENGER_STACK_BYTES) } {
        // No thread to be had: do its work inline, and try again another time.
        heap.wakeup().set_absent();
        drop(blocked);
        scavenge_inline(heap);
    }
}

/// Without the thread: a tick on the time of whoever comes by.
fn scavenge_inline(heap: &'static Heap) {
    heap.wakeup().acknowledge();
    let Some(mut scavenger) = statics::take_inline_scavenger() else { return };
    if scavenger.is_null() {
        let Some(memory) = heap.inline_scavenger_memory(size_of::<Scavenger>()) else {
            return statics::put_inline_scavenger(null_mut());
        };
        scavenger = memory.as_ptr().cast();
        // SAFETY: memory of that size, aligned to more than the type needs, and nobody else's.
        unsafe { scavenger.write(Scavenger::new(statics::config())) };
        // Draining idle threads needs it, as on the scavenger's own thread.
        sys::membarrier::register();
    }
    // SAFETY: taken, so this thread's alone until it is put back.
    if let Some(ns) = unsafe { (*scavenger).tick_inline(heap) } {
        // There is more to do later, whether or not anything more is freed until then.
        statics::set_inline_deadline_ns(sys::time::monotonic_ns().saturating_add(ns));
        heap.wakeup().request();
    }
    statics::put_inline_scavenger(scavenger);
}

/// See [`super::scavenge`].
pub fn scavenge() -> usize {
    let Some((heap, _pause)) = fork::enter() else { return 0 };
    let own = own_cache();
    // SAFETY: null, or the calling thread's cache, which stays until the thread gives it back.
    if let Some(cache) = unsafe { own.as_ref() } {
        heap.flush_own_cache(cache);
    }
    sys::membarrier::register();
    heap.scavenge_everything(own)
}

/// See [`super::stats`].
pub fn stats() -> Stats {
    fork::enter().map(|(heap, _pause)| heap.stats()).unwrap_or_default()
}
