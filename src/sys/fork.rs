//! Fork handlers, and the number of the process.
//!
//! Locks: none may be held by [`at_fork`], because the C library may allocate for its list of handlers. [`process_id`]
//! may run under any: a fork handler asks for it.

use super::held::assert_none_held;

/// A fork handler.
pub type Handler = unsafe extern "C" fn();

/// Registers handlers: `prepare` runs before each fork, `parent` and `child` after it. `false` when the C library is
/// out of memory. Handlers cannot be removed, so their code must stay loaded.
pub fn at_fork(prepare: Handler, parent: Handler, child: Handler) -> bool {
    assert_none_held("pthread_atfork");
    // SAFETY: the handlers are functions of this program.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// The kernel's number of the process.
pub fn process_id() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::getpid() as u32 }
}
