//! What happens at a fork, and how a thread that forks may go on allocating meanwhile.
//!
//! The handlers hold every lock of the heap while the process is copied. Other libraries have handlers too, and those may
//! allocate: they run between ours if they were registered earlier, as a library's are that registers them before the
//! first allocation. Such an operation would wait for the locks that its own thread holds. So every slow path asks whether
//! its thread is between the handlers (one load), and if so gives the locks back for as long as it works.
//!
//! Where C's streams use this heap, the lock of their list comes first: other threads allocate and free under it, and fork
//! takes it after the handlers (see `sys::stream`). A Rust program's streams have the C library's own heap.
//!
//! Orderings: Relaxed. `FORKING` is compared with the reader's own address: a thread sees its own stores, and whatever else
//! it reads is not its address.
//!
//! Locks: all of the heap's.

use core::ptr::{from_ref, null_mut};

use crate::heap::Heap;
use crate::sync::atomic::Ordering;
#[cfg(any(feature = "c-symbols", neap_library))]
use crate::sys;
use crate::thread_cache::ThreadCache;
use crate::thread_cache::gone;

use super::{statics, tls};

/// The heap, for one operation outside every lock. While the pause lives, the thread holds none of the heap's locks, even
/// if it is about to fork.
#[inline]
pub fn enter() -> Option<(&'static Heap, Pause)> {
    let heap = statics::heap()?;
    let forking = statics::FORKING.load(Ordering::Relaxed);
    if forking.is_null() || !core::ptr::eq(forking, tls::slot()) {
        return Some((heap, Pause { heap: None }));
    }
    statics::FORKING.store(null_mut(), Ordering::Relaxed);
    // SAFETY: this thread is between the handlers. In the child this form serves too: nobody is there to be woken.
    unsafe { heap.after_fork_in_parent() };
    release_streams();
    Some((heap, Pause { heap: Some(heap) }))
}

/// See [`enter`].
pub struct Pause {
    /// What to lock again.
    heap: Option<&'static Heap>,
}

impl Drop for Pause {
    #[inline]
    fn drop(&mut self) {
        if let Some(heap) = self.heap {
            hold_all(heap);
        }
    }
}

/// The calling thread's cache, if it has one.
fn own_cache<'a>() -> Option<&'a ThreadCache> {
    let own = tls::slot().own.load(Ordering::Relaxed);
    // SAFETY: neither null nor the mark, so this thread's cache, which stays until the thread gives it back.
    if own == gone() { None } else { unsafe { own.as_ref() } }
}

#[cold]
fn hold_all(heap: &Heap) {
    hold_streams();
    heap.prepare_fork(own_cache());
    // Written under all locks only.
    statics::FORKING.store(from_ref(tls::slot()).cast_mut(), Ordering::Relaxed);
}

#[cfg(any(feature = "c-symbols", neap_library))]
fn hold_streams() {
    if sys::stream::hold_list() {
        statics::HOLDS_STREAMS.store(true, Ordering::Relaxed);
    }
}

/// Undoes [`hold_streams`]. The C library has left the lock as it found it by now, or, in a child, freed it.
#[cfg(any(feature = "c-symbols", neap_library))]
fn release_streams() {
    if statics::HOLDS_STREAMS.load(Ordering::Relaxed) {
        statics::HOLDS_STREAMS.store(false, Ordering::Relaxed);
        // SAFETY: held since `hold_streams`: while somebody holds it, nobody else writes the word.
        unsafe { sys::stream::release_list() };
    }
}

/// The same in the child. A program that started its first thread in a handler has a fork that took no lock, so that the
/// C library has freed none.
#[cfg(any(feature = "c-symbols", neap_library))]
fn reset_streams() {
    if statics::HOLDS_STREAMS.load(Ordering::Relaxed) {
        statics::HOLDS_STREAMS.store(false, Ordering::Relaxed);
        // SAFETY: a fork handler, in the child: its only thread.
        unsafe { sys::stream::reset_list() };
    }
}

#[cfg(not(any(feature = "c-symbols", neap_library)))]
fn hold_streams() {}

#[cfg(not(any(feature = "c-symbols", neap_library)))]
fn release_streams() {}

#[cfg(not(any(feature = "c-symbols", neap_library)))]
fn reset_streams() {}

/// Before a fork: holds all locks.
pub unsafe extern "C" fn before() {
    if let Some(heap) = statics::heap() {
        hold_all(heap);
    }
}

/// After a fork, in the parent.
pub unsafe extern "C" fn after_in_parent() {
    if let Some(heap) = statics::heap() {
        statics::FORKING.store(null_mut(), Ordering::Relaxed);
        // SAFETY: `before` ran on this thread.
        unsafe { heap.after_fork_in_parent() };
        release_streams();
    }
}

/// After a fork, in the child: one thread is left, and no scavenger. One is started again when it is needed.
pub unsafe extern "C" fn after_in_child() {
    if let Some(heap) = statics::heap() {
        statics::FORKING.store(null_mut(), Ordering::Relaxed);
        // SAFETY: this is the child's only thread, and `before` ran on it.
        unsafe { heap.after_fork_in_child(own_cache()) };
        reset_streams();
        statics::drop_inline_scavenger();
    }
}
