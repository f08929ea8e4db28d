//! What a thread does at its exit: it gives its cache back.
//!
//! The work is done in the destructor of a key, after the destructors of Rust's thread locals. Later destructors of other keys
//! may still allocate and free. Their operations go straight to central, one slot at a time.
//!
//! Locks: the heap's. The making of the key spins (`spin::Once`).

use core::ffi::c_void;

use spin::Once;

use crate::caches::ThreadCache;
use crate::sys;
use crate::sys::thread::ExitKey;

use super::{fork, tls};

static EXIT_KEY: Once<Option<ExitKey>> = Once::new();

/// Makes sure that the calling thread gives its cache back at its exit. `false` if the exit cannot be noticed, because the C
/// library has no key left or no memory for the key's value. The C library may allocate during this call.
pub fn notice(cache: &ThreadCache) -> bool {
    let key = *EXIT_KEY.call_once(|| sys::thread::exit_key_create(at_thread_exit));
    let value = core::ptr::from_ref(cache).cast_mut().cast();
    // SAFETY: every value but null has the effect; the destructor looks at the thread's words.
    key.is_some_and(|key| unsafe { sys::thread::exit_key_set(key, value) })
}

/// The key's destructor: a thread that has a cache exits.
unsafe extern "C" fn at_thread_exit(_cache: *mut c_void) {
    if let Some((heap, _pause)) = fork::enter() {
        // SAFETY: the words are the thread's own.
        unsafe { heap.give_back_cache(tls::words()) };
    }
}
