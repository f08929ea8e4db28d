//! What happens at a thread's exit.
//!
//! It runs in a key's destructor, after the destructors of Rust's thread locals. Later destructors of other keys
//! may still allocate and free: those operations go straight to central, one slot at a time.
//!
//! Orderings: Relaxed, on the thread's own word.

use core::ffi::c_void;

use crate::heap::give_back_cache;

use super::{fork, tls};

/// A thread that has a cache exits.
pub unsafe extern "C" fn at_thread_exit(_cache: *mut c_void) {
    if let Some((heap, _pause)) = fork::enter() {
        // SAFETY: the thread's own words.
        unsafe { give_back_cache(heap, tls::slot()) };
    }
}
