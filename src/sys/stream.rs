//! The C library's streams.
//!
//! Locks: none may be held; the stream has its own, and may allocate its buffer.

use super::held::assert_none_held;
use core::ffi::c_void;

unsafe extern "C" {
    /// The C library's standard error stream. A program may put another in its place.
    static stderr: *mut c_void;
}

/// The standard error stream.
pub fn standard_error() -> *mut c_void {
    // SAFETY: a variable of the C library, set before any code runs; replacing it is the program's own affair.
    unsafe { (&raw const stderr).read() }
}

/// Writes bytes to a stream; `false` if not all could be written.
///
/// # Safety
/// `stream` is an open `FILE`.
pub unsafe fn write(stream: *mut c_void, bytes: &[u8]) -> bool {
    assert_none_held("fwrite");
    // SAFETY: the stream is open (the caller's contract), the bytes are live.
    unsafe { libc::fwrite(bytes.as_ptr().cast(), 1, bytes.len(), stream.cast()) == bytes.len() }
}
