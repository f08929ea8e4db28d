//! What happens at the ends: a thread's exit, and fork.
//!
//! Thread exit runs in a key's destructor, after the destructors of Rust's thread locals. Later destructors of other keys
//! may still allocate and free: those operations go straight to central, one slot at a time.
//!
//! Orderings: Relaxed, on the thread's own word.

use core::ffi::c_void;

use crate::heap::give_back_cache;
use crate::sync::atomic::Ordering;
use crate::thread_cache::gone;

use super::statics;
use super::tls;

/// A thread that has a cache exits.
pub unsafe extern "C" fn at_thread_exit(_cache: *mut c_void) {
    if let Some(heap) = statics::heap() {
        // SAFETY: the thread's own words.
        unsafe { give_back_cache(heap, tls::slot()) };
    }
}

/// Before a fork: holds all locks.
pub unsafe extern "C" fn before_fork() {
    if let Some(heap) = statics::heap() {
        heap.prepare_fork();
    }
}

/// After a fork, in the parent.
pub unsafe extern "C" fn after_fork_in_parent() {
    if let Some(heap) = statics::heap() {
        // SAFETY: `before_fork` ran on this thread.
        unsafe { heap.after_fork_in_parent() };
    }
}

/// After a fork, in the child: one thread is left, and no scavenger. One is started again when it is needed.
pub unsafe extern "C" fn after_fork_in_child() {
    if let Some(heap) = statics::heap() {
        let own = tls::slot().own.load(Ordering::Relaxed);
        let own = if own == gone() { core::ptr::null_mut() } else { own };
        // SAFETY: this is the child's only thread, and `before_fork` ran on it.
        unsafe { heap.after_fork_in_child(own) };
        statics::drop_inline_scavenger();
    }
}
