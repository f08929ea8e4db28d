//! The C library's streams.
//!
//! **The lock of the list of streams** (glibc): its fork takes it after all handlers; other threads allocate and free under
//! it, as those that flush every stream do. So who holds the heap's locks over a fork has to take it first. The lock is
//! recursive; its functions are exported since the first version, and in the static library part of what every program has.
//! A fork by the only thread leaves the lock alone, and so must we: a child does not get it back from glibc then.
//!
//! Locks: none may be held; the stream and the list have their own, and a stream may allocate its buffer.

use super::held::assert_none_held;
use core::ffi::{c_int, c_void};

unsafe extern "C" {
    /// The C library's standard error stream. A program may put another in its place.
    static stderr: *mut c_void;

    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// glibc's and musl's `PTHREAD_CANCEL_DISABLE`.
const CANCEL_DISABLE: c_int = 1;

/// The standard error stream.
pub fn standard_error() -> *mut c_void {
    // SAFETY: a variable of the C library, set before any code runs; replacing it is the program's own affair.
    unsafe { (&raw const stderr).read() }
}

/// Writes bytes to a stream; `false` if not all could be written. No cancellation ends the thread in here: nobody expects one
/// of a malloc, and it would unwind frames of ours.
///
/// # Safety
/// `stream` is an open `FILE`.
pub unsafe fn write(stream: *mut c_void, bytes: &[u8]) -> bool {
    assert_none_held("fwrite");
    let mut before = 0;
    // SAFETY: the stream is open (the caller's contract), the bytes are live; the state is put back.
    unsafe {
        pthread_setcancelstate(CANCEL_DISABLE, &raw mut before);
        let written = libc::fwrite(bytes.as_ptr().cast(), 1, bytes.len(), stream.cast()) == bytes.len();
        pthread_setcancelstate(before, core::ptr::null_mut());
        written
    }
}

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    fn _IO_list_lock();
    fn _IO_list_unlock();
    fn _IO_list_resetlock();
}

/// Takes the lock of the list of streams, before a fork; `false`, and nothing is done, where fork does not take it.
pub fn hold_list() -> bool {
    assert_none_held("_IO_list_lock");
    #[cfg(target_env = "gnu")]
    if !is_single_threaded() {
        // SAFETY: no preconditions; whoever calls this gives the lock back.
        unsafe { _IO_list_lock() };
        return true;
    }
    false
}

/// Gives the lock back.
///
/// # Safety
/// [`hold_list`] answered `true` on this thread, in this process.
pub unsafe fn release_list() {
    assert_none_held("_IO_list_unlock");
    #[cfg(target_env = "gnu")]
    // SAFETY: the lock is held once more than the caller's callers hold it (the caller's contract).
    unsafe {
        _IO_list_unlock();
    };
}

/// Frees the lock in the child of a fork, whoever held it.
///
/// # Safety
/// Called in the child by its only thread, outside the streams' functions.
pub unsafe fn reset_list() {
    #[cfg(target_env = "gnu")]
    // SAFETY: nobody else is there to hold or to want the lock; glibc does the same.
    unsafe {
        _IO_list_resetlock();
    };
}

/// Whether glibc knows that no other thread was ever started. Versions before 2.32 do not say: `true`.
#[cfg(target_env = "gnu")]
fn is_single_threaded() -> bool {
    let flag: *const u8;
    // SAFETY: reads the address of glibc's variable from the table of addresses; null where it has none (a weak symbol).
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            ".weak __libc_single_threaded",
            "mov {0}, qword ptr [rip + __libc_single_threaded@GOTPCREL]",
            out(reg) flag,
            options(nostack, preserves_flags, readonly, pure),
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            ".weak __libc_single_threaded",
            "adrp {0}, :got:__libc_single_threaded",
            "ldr {0}, [{0}, :got_lo12:__libc_single_threaded]",
            out(reg) flag,
            options(nostack, preserves_flags, readonly, pure),
        );
        flag.is_null() || flag.read_volatile() != 0
    }
}
