//! The background work: who starts the scavenger's thread, and who does its work if there is no thread.
//!
//! Locks: none held here.

use core::ptr::null_mut;

use crate::heap::Heap;
use crate::scavenger;
use crate::sys;

use super::scavenger_state::{self, Taken};
use super::{fork, process_heap, settings, tls};

/// The scavenger thread's stack: the batches of a release.
const SCAVENGER_STACK_BYTES: usize = 128 << 10;
/// How long a thread waits before it looks again whether another thread is done.
const LOOK_NS: u64 = 1_000_000;

/// Starts the scavenger if a free has asked for it. Called at the end of a slow path, with no lock held.
#[inline]
pub fn look_after(heap: &'static Heap) {
    if heap.accounts().wakeup.wants_thread() {
        start_scavenger(heap);
    }
}

/// [`look_after`] at the end of an allocation. In builds that serve C it also asks ahead, because frees by C start no thread.
#[inline]
pub fn look_after_allocation(heap: &'static Heap) {
    #[cfg(serves_c)]
    heap.accounts().wakeup.ask_ahead(heap.accounts().counters.in_use_bytes() as u64);
    look_after(heap);
}

/// [`look_after`] at the end of a free by C, which never starts the thread. The C library frees memory of ended threads under
/// the lock of its cache of stacks, and the start of a thread takes this lock. The request stays for the next allocation.
///
/// The C library makes no allocation under a lock that the start of a thread waits for. The dynamic linker's locks are
/// recursive. `pthread_getattr_default_np` copies the default attributes under a lock, but the start here does not ask for them.
#[cfg(serves_c)]
#[inline]
pub fn look_after_free_by_c(heap: &'static Heap) {
    if heap.accounts().wakeup.wants_thread() && !settings::config().scavenger {
        start_scavenger(heap);
    }
}

/// The scavenger's thread.
struct ScavengerThread;

impl sys::thread::Body for ScavengerThread {
    const NAME: &'static core::ffi::CStr = c"neap-scavenger";

    unsafe fn run(_argument: *mut core::ffi::c_void) {
        let Some(heap) = process_heap::heap() else { return };
        settings::schedule().apply();
        sys::membarrier::register();
        loop {
            match scavenger_state::take(heap) {
                Taken::State(mut state) => {
                    // SAFETY: this thread has taken the state, so no other thread has it.
                    unsafe { state.as_mut() }.run(heap);
                    scavenger_state::put(state);
                }
                // A slow path has the state and does a tick inline.
                Taken::Busy => {
                    sys::thread::sleep(LOOK_NS);
                    continue;
                }
                Taken::NoMemory => return heap.accounts().wakeup.set_absent(),
            }
            if !scavenger::rest(heap) {
                break;
            }
        }
        if scavenger::is_last(heap) {
            // If the thread cannot be started, the process ends on this thread.
            // SAFETY: the thread takes no argument.
            unsafe { sys::thread::spawn_detached::<LastThread>(null_mut(), sys::thread::LARGE_STACK_BYTES) };
        }
    }
}

/// The thread on which the process ends if the scavenger's thread is its last. Functions that run at exit may need a stack and
/// signals like those of every other thread.
struct LastThread;

impl sys::thread::Body for LastThread {
    const NAME: &'static core::ffi::CStr = c"neap-last";

    unsafe fn run(_argument: *mut core::ffi::c_void) {
        while !sys::thread::is_last() {
            sys::thread::sleep(LOOK_NS);
        }
        sys::signal::unblock_all();
    }
}

#[cold]
fn start_scavenger(heap: &'static Heap) {
    // A free may end here, and a free leaves `errno` alone.
    let _saved = sys::errno::Saved::new();
    if fork::must_stay_alone() {
        // The request stays for the next slow path.
        return;
    }
    if sys::time::monotonic_ns() < scavenger_state::inline_deadline_ns() {
        // The work is done inline, and is not due yet. The request stays.
        return;
    }
    if tls::words().is_gone() {
        // This thread is about to end. The C library may be freeing its stack under a lock that the start of a thread needs.
        return;
    }
    if !settings::config().scavenger {
        return scavenge_inline(heap);
    }
    // With signals blocked, a fork in a signal handler comes before the claim or after the start, never between them: its
    // child knows that it has no scavenger.
    let blocked = sys::signal::Blocked::new();
    if !heap.accounts().wakeup.claim_start() {
        return;
    }
    // SAFETY: the thread takes no argument.
    if !unsafe { sys::thread::spawn_detached::<ScavengerThread>(null_mut(), SCAVENGER_STACK_BYTES) } {
        // The OS gives no thread. This thread does the work inline; another slow path tries the start again.
        heap.accounts().wakeup.set_absent();
        drop(blocked);
        scavenge_inline(heap);
    }
}

/// Does a tick of the scavenger on the calling thread.
fn scavenge_inline(heap: &'static Heap) {
    heap.accounts().wakeup.acknowledge();
    let Taken::State(mut state) = scavenger_state::take(heap) else {
        // The tick under way may have looked before the work came.
        return heap.accounts().wakeup.request();
    };
    // Draining idle threads needs the registration, as on the scavenger's own thread.
    sys::membarrier::register();
    // SAFETY: this thread has taken the state, so no other thread has it.
    if let Some(ns) = unsafe { state.as_mut() }.tick_inline(heap) {
        // There is more to do later, even if nothing more is freed until then.
        scavenger_state::set_inline_deadline_ns(sys::time::monotonic_ns().saturating_add(ns));
        heap.accounts().wakeup.request();
    }
    scavenger_state::put(state);
}
