//! The names that C and C++ programs know: malloc and its relatives, operator new and delete.
//!
//! Compiled into programs with the feature `c-symbols`, and into libneap. Rules of the C and C++ standards first, then
//! those of POSIX, then glibc's habits, which programs rely on: 16-byte alignment at any size, `malloc(0)` is a unique
//! address, `realloc(p, 0)` frees, a failure sets `errno` to ENOMEM, `free` keeps it.
//!
//! Nothing here unwinds. A C++ exception, where one is due, is thrown by the C++ runtime through frames of assembly only
//! ([`cxx`]).
//!
//! Never called by the allocator itself. Unit tests, which allocate under locks, do not get the names. Locks: none of its own.

#![cfg_attr(test, allow(dead_code, reason = "without their names the functions have no callers"))]

mod aligned;
mod basic;
mod cxx;
mod foreign_names;
#[cfg(all(neap_library, panic = "abort", not(debug_assertions), not(test), not(feature = "internals")))]
mod panic;
mod report;

use core::ffi::c_void;

use crate::sys;
use crate::sys::errno::{ENOMEM, Errno};

use crate::size_class::C_ALIGN as ALIGN;

/// An allocation's answer to C: null comes with ENOMEM.
#[inline(always)]
fn answer(object: *mut u8) -> *mut c_void {
    if object.is_null() {
        return fail(ENOMEM);
    }
    object.cast()
}

/// Null, with `errno` set.
#[cold]
#[inline(never)]
fn fail(errno: Errno) -> *mut c_void {
    sys::errno::set(errno);
    core::ptr::null_mut()
}
