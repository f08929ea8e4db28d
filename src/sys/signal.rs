//! Signals, blocked for a short time.
//!
//! Two kinds of signal are never blocked. The first are signals that an instruction raises at once: their handlers are
//! needed at that moment. The second are the C library's own signals: `setuid` waits for them on every thread.
//!
//! Locks: any may be held, because a signal handler may have interrupted a critical section. Nothing here waits.

use super::errno::Saved;

/// The signals to block: a bit for each, the lowest for signal 1.
const OTHERS: u64 = {
    let at_once = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS, libc::SIGABRT];
    // glibc keeps 32 and 33 for itself, musl 34 as well.
    let mut mask = !(0b111 << (32 - 1));
    let mut i = 0;
    while i < at_once.len() {
        mask &= !(1 << (at_once[i] - 1));
        i += 1;
    }
    mask
};

/// A set of blocked signals.
pub type Mask = u64;

/// Blocks signals on this thread. The result is for [`restore`].
pub fn block() -> Mask {
    change(libc::SIG_BLOCK, OTHERS)
}

/// Undoes [`block`]. The signals that came in between are delivered now.
pub fn restore(mask: Mask) {
    change(libc::SIG_SETMASK, mask);
}

/// Blocks no signal on this thread.
pub fn unblock_all() {
    change(libc::SIG_SETMASK, 0);
}

fn change(how: libc::c_int, mask: Mask) -> Mask {
    let _saved = Saved::new();
    let mut before: Mask = 0;
    // The raw call leaves the C library's own signals as they are, in both directions. It cannot fail.
    // SAFETY: the kernel reads and writes sets of 8 bytes, the size on all our architectures; both are live.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const mask, &raw mut before, size_of_val(&mask)) };
    before
}

/// Blocks signals until the value is dropped.
#[must_use = "signals are delivered again when this is dropped"]
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
