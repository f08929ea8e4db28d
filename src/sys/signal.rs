//! Keeping signals away for a moment.
//!
//! Not those that an instruction raises on the spot: a handler for them would be gone just when it is needed. And not those
//! that the C library keeps for itself, which it waits for on every thread in `setuid`.
//!
//! Locks: any may be held, for a signal handler may have interrupted a critical section; nobody is waited for.

use super::errno::Saved;

/// Of every signal but those above: a bit each, the first for signal 1.
const OTHERS: u64 = {
    let at_once = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS, libc::SIGABRT];
    // glibc has 32 and 33, musl 34 as well.
    let mut mask = !(0b111 << (32 - 1));
    let mut i = 0;
    while i < at_once.len() {
        mask &= !(1 << (at_once[i] - 1));
        i += 1;
    }
    mask
};

/// Which signals a thread had blocked.
pub type Mask = u64;

/// Blocks signals on this thread; what to give to [`restore`].
pub fn block() -> Mask {
    change(libc::SIG_BLOCK, OTHERS)
}

/// Undoes [`block`]; what came meanwhile comes now.
pub fn restore(mask: Mask) {
    change(libc::SIG_SETMASK, mask);
}

fn change(how: libc::c_int, mask: Mask) -> Mask {
    let _saved = Saved::new();
    let mut before: Mask = 0;
    // SAFETY: the kernel reads and writes sets of 8 bytes, as on every architecture of ours. The raw call, since it must leave
    // the C library's own signals as they are in both directions. It cannot fail.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const mask, &raw mut before, size_of_val(&mask)) };
    before
}

/// Signals are kept away while this lives.
#[must_use = "signals come again at once if this is dropped"]
pub struct Blocked(Mask);

impl Blocked {
    /// Blocks signals.
    pub fn new() -> Self {
        Self(block())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        restore(self.0);
    }
}
