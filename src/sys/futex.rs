//! The kernel's futex, for words of this process only.
//!
//! Both calls keep `errno`: a contended lock must not change a caller's `errno`.
//!
//! Locks: not checked here. `lock::Futex` wants none held; `lock::LockFutex` waits for a lock while others are held.

use super::errno::Saved;

/// Sleeps while `word` is `expected`, for at most `timeout_ns` nanoseconds if given. May return early, on a signal or
/// for no reason. No error is reported: after each return the caller must read the word again.
pub(crate) fn wait(word: *const u32, expected: u32, timeout_ns: Option<u64>) {
    let saved = Saved::new();
    let timeout = timeout_ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY:
    // - the kernel reads the word, and fails if the address is not mapped;
    // - the timeout is null or points at a timespec that outlives the call.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, expected, timeout) };
    drop(saved);
}

/// Wakes up to `sleepers` threads that wait on `word`.
pub(crate) fn wake(word: *const u32, sleepers: u32) {
    let saved = Saved::new();
    // The kernel reads the count as a signed number.
    let sleepers = sleepers.min(i32::MAX as u32);
    // SAFETY: a wake uses the word's address as a key and reads no memory.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, sleepers) };
    drop(saved);
}
