//! The background work: who starts the scavenger's thread, and who does its work where there is no thread.
//!
//! Locks: none held here.

use core::ptr::null_mut;

use crate::heap::Heap;
use crate::scavenger::Scavenger;
use crate::sys;

use super::{fork, inline_scavenger, process_heap, settings, tls};

/// The scavenger thread's stack: its state and the batches of a release.
const SCAVENGER_STACK_BYTES: usize = 128 << 10;

/// At the end of a slow path, outside everything: starts the scavenger if it is asked for.
#[inline]
pub fn look_after(heap: &'static Heap) {
    if heap.accounts().wakeup.wants_thread() {
        start_scavenger(heap);
    }
}

/// The same after an allocation. Where C's frees use the heap it looks ahead, because those start no thread.
#[inline]
pub fn look_after_allocation(heap: &'static Heap) {
    #[cfg(serves_c)]
    heap.accounts().wakeup.ask_ahead(heap.accounts().counters.in_use_bytes() as u64);
    look_after(heap);
}

/// The same after a free by C, which never starts the thread: the C library frees what belonged to ended threads under the
/// lock of its cache of stacks, and starting a thread takes that lock. A request stays for the next allocation.
/// (The C library's allocations are made under no lock that starting a thread would wait for: the dynamic linker's
/// are recursive, and the default attributes', which `pthread_getattr_default_np` copies under one, are not asked for.)
#[cfg(serves_c)]
#[inline]
pub fn look_after_free_by_c(heap: &'static Heap) {
    if heap.accounts().wakeup.wants_thread() && !settings::config().scavenger {
        start_scavenger(heap);
    }
}

struct ScavengerThread;

impl sys::thread::Body for ScavengerThread {
    const NAME: &'static core::ffi::CStr = c"neap-scavenger";

    unsafe fn run(_argument: *mut core::ffi::c_void) {
        if let Some(heap) = process_heap::heap() {
            sys::membarrier::register();
            Scavenger::new(settings::config()).run(heap);
        }
    }
}

#[cold]
fn start_scavenger(heap: &'static Heap) {
    // A free may end here, and a free leaves `errno` alone.
    let _saved = sys::errno::Saved::new();
    if fork::is_recovering() {
        // The request stands for the next slow path.
        return;
    }
    if sys::time::monotonic_ns() < inline_scavenger::deadline_ns() {
        // The work is done inline, and not due yet; the request stands.
        return;
    }
    if tls::words().is_gone() {
        // The thread is about to end; the C library may be freeing its stack, under a lock that starting another needs.
        return;
    }
    if !settings::config().scavenger {
        return scavenge_inline(heap);
    }
    // A fork in a signal handler finds the thread started or not even claimed: its child knows that there is none.
    let blocked = sys::signal::Blocked::new();
    if !heap.accounts().wakeup.claim_start() {
        return;
    }
    // SAFETY: the thread takes no argument.
    if !unsafe { sys::thread::spawn_detached::<ScavengerThread>(null_mut(), SCAVENGER_STACK_BYTES) } {
        // No thread to be had: do its work inline, and try again another time.
        heap.accounts().wakeup.set_absent();
        drop(blocked);
        scavenge_inline(heap);
    }
}

/// Without the thread: a tick on the time of whoever comes by.
fn scavenge_inline(heap: &'static Heap) {
    heap.accounts().wakeup.acknowledge();
    let Some(mut scavenger) = inline_scavenger::take() else { return };
    if scavenger.is_null() {
        let Some(memory) = heap.caches().metadata(size_of::<Scavenger>()) else {
            return inline_scavenger::put(null_mut());
        };
        scavenger = memory.as_ptr().cast();
        // SAFETY: memory of that size, aligned to more than the type needs, and nobody else's.
        unsafe { scavenger.write(Scavenger::new(settings::config())) };
        // Draining idle threads needs it, as on the scavenger's own thread.
        sys::membarrier::register();
    }
    // SAFETY: taken, so this thread's alone until it is put back.
    if let Some(ns) = unsafe { (*scavenger).tick_inline(heap) } {
        // There is more to do later, whether or not anything more is freed until then.
        inline_scavenger::set_deadline_ns(sys::time::monotonic_ns().saturating_add(ns));
        heap.accounts().wakeup.request();
    }
    inline_scavenger::put(scavenger);
}
