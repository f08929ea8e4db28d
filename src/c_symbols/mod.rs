//! The names that C and C++ programs know: malloc and its relatives, operator new and delete.
//!
//! Programs with the feature `c-symbols` contain these functions, and so does libneap. The functions follow the C and C++
//! standards first, then POSIX, then glibc's habits, because programs rely on them: memory is aligned to 16 bytes at any size,
//! `malloc(0)` is a unique address, `realloc(p, 0)` frees, a failure sets `errno` to ENOMEM, and `free` keeps `errno`.
//!
//! - `basic`: malloc, free, calloc, realloc. `aligned`: memory of a given alignment. `foreign_names`: glibc's second names.
//! - `cxx`: operator new and delete. `report`: what glibc lets a program ask its malloc.
//! - `panic` (libneap only): what a panic does.
//!
//! Nothing here unwinds. A C++ exception passes only through frames of assembly ([`cxx`]).
//!
//! The allocator itself never calls these functions. Unit tests do not get the names, because they allocate under locks.
//!
//! Locks: none of its own.

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

/// An allocation's answer to C: the object, or null with `errno` set to ENOMEM.
#[inline(always)]
fn answer(object: *mut u8) -> *mut c_void {
    if object.is_null() {
        return fail(ENOMEM);
    }
    object.cast()
}

/// Null, with `errno` set to the given error.
#[cold]
#[inline(never)]
fn fail(errno: Errno) -> *mut c_void {
    sys::errno::set(errno);
    core::ptr::null_mut()
}
