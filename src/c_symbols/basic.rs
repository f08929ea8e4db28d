//! malloc, free, calloc and realloc, with the functions that C23 and POSIX added.
//!
//! Locks: none of its own.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

use crate::global::by_address;
use crate::sys::errno::{ENOMEM, Saved};

use super::{ALIGN, answer, fail};

/// C's `malloc`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    let object = by_address::allocate_at_hand(size);
    if object.is_null() { malloc_slow(size) } else { object.cast() }
}

#[cold]
#[inline(never)]
extern "C" fn malloc_slow(size: usize) -> *mut c_void {
    answer(by_address::allocate_slow(size, ALIGN))
}

/// C's `free`.
///
/// # Safety
/// The object is null or the caller's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn free(object: *mut c_void) {
    // SAFETY: the caller's contract.
    unsafe { by_address::free(object.cast()) }
}

/// C23's `free_sized`.
///
/// # Safety
/// As for [`free`]; the object was allocated with this size.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn free_sized(object: *mut c_void, _size: usize) {
    // SAFETY: the caller's contract.
    unsafe { by_address::free(object.cast()) }
}

/// C23's `free_aligned_sized`.
///
/// # Safety
/// As for [`free`]; the object was allocated with this alignment and size.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn free_aligned_sized(object: *mut c_void, _align: usize, _size: usize) {
    // SAFETY: the caller's contract.
    unsafe { by_address::free(object.cast()) }
}

/// C's `calloc`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        Some(bytes) => answer(by_address::allocate_zeroed(bytes, ALIGN)),
        None => fail(ENOMEM),
    }
}

/// C's `realloc`. A size of 0 frees the object and returns null, as in glibc.
///
/// # Safety
/// The object is null or the caller's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn realloc(object: *mut c_void, size: usize) -> *mut c_void {
    let Some(base) = NonNull::new(object.cast::<u8>()) else { return malloc(size) };
    if size == 0 {
        // SAFETY: the caller's contract.
        unsafe { by_address::free(base.as_ptr()) };
        return null_mut();
    }
    // SAFETY: the caller's contract.
    answer(unsafe { by_address::reallocate(base, size, ALIGN) })
}

/// POSIX 2024's `reallocarray`.
///
/// # Safety
/// As for [`realloc`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn reallocarray(object: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller's contract.
        Some(bytes) => unsafe { realloc(object, bytes) },
        None => fail(ENOMEM),
    }
}

/// glibc's `malloc_usable_size`: the bytes of an object. The program may use all of them.
///
/// # Safety
/// As for [`free`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn malloc_usable_size(object: *mut c_void) -> usize {
    let _errno = Saved::new();
    // SAFETY: the caller's contract.
    unsafe { by_address::usable_bytes(object.cast()) }
}
