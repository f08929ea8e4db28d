//! Memory of a given alignment.
//!
//! The size class takes an alignment into account. An object with a larger alignment than any slot gets a span of its own. In
//! both cases the object begins where its slot or its span begins, so `free` needs no special case.
//!
//! Locks: none of its own.

use core::ffi::{c_int, c_void};

use crate::global::by_address;
use crate::sys;
use crate::sys::errno::{EINVAL, ENOMEM, Saved};

use super::{ALIGN, answer, fail};

#[inline]
fn allocate(align: usize, size: usize) -> *mut u8 {
    by_address::allocate(size, align.max(ALIGN))
}

/// POSIX's `posix_memalign`. It returns the error number. A failure leaves `*out` as it was. `errno` stays as it was, except
/// that a lack of memory sets `errno`, too, as in glibc.
///
/// # Safety
/// `out` can be written.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align % size_of::<*mut c_void>() != 0 {
        return EINVAL.0;
    }
    let errno = Saved::new();
    let object = allocate(align, size);
    drop(errno);
    if object.is_null() {
        sys::errno::set(ENOMEM);
        return ENOMEM.0;
    }
    // SAFETY: the caller's contract.
    unsafe { out.write(object.cast()) };
    0
}

/// C's `aligned_alloc`. It accepts every power of two and every size, as C17 says, and as glibc does from 2.38 on.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if align.is_power_of_two() { answer(allocate(align, size)) } else { fail(EINVAL) }
}

/// The old `memalign`. An alignment that is no power of two is raised to the next power of two, as in glibc.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => answer(allocate(align, size)),
        None => fail(EINVAL),
    }
}

/// The old `valloc`: memory that is aligned to an OS page.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    answer(allocate(sys::page::os_page_bytes(), size))
}

/// The old `pvalloc`: whole OS pages.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let page = sys::page::os_page_bytes();
    match size.max(1).checked_next_multiple_of(page) {
        Some(bytes) => answer(allocate(page, bytes)),
        None => fail(ENOMEM),
    }
}
