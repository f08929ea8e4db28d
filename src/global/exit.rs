//! What happens at a thread's exit, and how the exit is noticed.
//!
//! It runs in a key's destructor, after the destructors of Rust's thread locals. Later destructors of other keys
//! may still allocate and free: those operations go straight to central, one slot at a time.
//!
//! Locks: the heap's; making the key spins (`spin::Once`).

use core::ffi::c_void;

use spin::Once;

use crate::caches::ThreadCache;
use crate::sys;
use crate::sys::thread::ExitKey;

use super::{fork, tls};

static EXIT_KEY: Once<Option<ExitKey>> = Once::new();

/// Sees to it that the calling thread's exit gives its cache back; `false` where that cannot be noticed, because the C library
/// has no key left or no memory for its value. The C library may allocate for that.
pub fn notice(cache: &ThreadCache) -> bool {
    let key = *EXIT_KEY.call_once(|| sys::thread::exit_key_create(at_thread_exit));
    let value = core::ptr::from_ref(cache).cast_mut().cast();
    // SAFETY: any value but null will do; the destructor looks at the thread's words.
    key.is_some_and(|key| unsafe { sys::thread::exit_key_set(key, value) })
}

/// A thread that has a cache exits.
unsafe extern "C" fn at_thread_exit(_cache: *mut c_void) {
    if let Some((heap, _pause)) = fork::enter() {
        // SAFETY: the thread's own words.
        unsafe { heap.caches().give_back_cache(tls::words()) };
    }
}
