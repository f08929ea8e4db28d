//! A memory barrier on every running thread of this process, paid for by the thread that asks.
//!
//! Locks: none may be held.

use super::held::assert_none_held;
use core::ffi::c_int;

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED` of <linux/membarrier.h>.
const PRIVATE_EXPEDITED: c_int = 1 << 3;
/// `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`.
const REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

/// Announces that this process will use [`barrier`]. One announcement is enough: a forked child inherits it. `false`
/// where the kernel has no such call or a sandbox forbids it.
pub fn register() -> bool {
    command(REGISTER_PRIVATE_EXPEDITED)
}

/// Returns after every other running thread of the process has passed a full barrier. `false` without [`register`].
pub fn barrier() -> bool {
    command(PRIVATE_EXPEDITED)
}

fn command(command: c_int) -> bool {
    assert_none_held("membarrier");
    // SAFETY: the call touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_registered_process_may_ask_for_barriers() {
        assert_eq!(super::register(), super::barrier());
    }
}
