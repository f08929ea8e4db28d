//! The C library's streams.
//!
//! **The lock of the list of streams** (glibc). Fork takes this lock after all fork handlers. Other threads allocate
//! and free under it, for example while they flush every stream. So a thread that holds the heap's locks over a fork
//! must take this lock first. The lock is recursive. Its functions are exported since the first version of glibc, and
//! in the static library they are part of every program. A fork by the only thread of a process leaves the lock alone,
//! and so does [`hold_list`]: in the child glibc would not free it.
//!
//! Locks: none may be held. The streams and their list have locks of their own, and a stream may allocate its buffer.

use super::held::assert_none_held;
use core::ffi::{c_int, c_void};

unsafe extern "C" {
    /// The C library's standard error stream. A program may replace it.
    static stderr: *mut c_void;

    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// glibc's and musl's `PTHREAD_CANCEL_DISABLE`.
const CANCEL_DISABLE: c_int = 1;

/// The standard error stream.
pub fn standard_error() -> *mut c_void {
    // SAFETY: a variable of the C library, set before any code runs. A program that replaces it must order this itself.
    unsafe { (&raw const stderr).read() }
}

/// Writes bytes to a stream. `false` if not all of them could be written. Cancellation is disabled during the call: no
/// program expects to be cancelled in `malloc`, and cancellation would unwind frames of ours.
///
/// # Safety
/// `stream` is an open `FILE`.
pub unsafe fn write(stream: *mut c_void, bytes: &[u8]) -> bool {
    assert_none_held("fwrite");
    let mut before = 0;
    // SAFETY: the stream is open (the caller's contract), and the bytes are live. The cancel state is restored.
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

/// Takes the lock of the list of streams, before a fork. `false`, without effect, where fork does not take the lock.
pub fn hold_list() -> bool {
    assert_none_held("_IO_list_lock");
    #[cfg(target_env = "gnu")]
    if !is_single_threaded() {
        // SAFETY: no preconditions. The caller releases the lock.
        unsafe { _IO_list_lock() };
        return true;
    }
    false
}

/// Releases the lock.
///
/// # Safety
/// [`hold_list`] answered `true` on this thread, in this process.
pub unsafe fn release_list() {
    assert_none_held("_IO_list_unlock");
    #[cfg(target_env = "gnu")]
    // SAFETY: this thread holds the lock by `hold_list` (the caller's contract).
    unsafe {
        _IO_list_unlock();
    };
}

/// Frees the lock in the child of a fork, whoever holds it.
///
/// # Safety
/// Called in the child by its only thread, outside the streams' functions.
pub unsafe fn reset_list() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no other thread holds the lock or waits for it; glibc does the same.
    unsafe {
        _IO_list_resetlock();
    };
}

/// Whether glibc says that the process never started another thread. Versions before 2.32 do not say: `true`.
#[cfg(target_env = "gnu")]
fn is_single_threaded() -> bool {
    let flag: *const u8;
    // SAFETY: reads the address of glibc's variable from the global offset table: null if glibc has none (a weak
    // symbol).
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
