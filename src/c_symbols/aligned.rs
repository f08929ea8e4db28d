//! Memory of a given alignment.
//!
//! An alignment is folded into the size class; above a slot's it gets a span of its own. Either way the object begins
//! where its slot or span does, so that `free` needs no case for it.
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

/// POSIX's `posix_memalign`: the answer is the error number, and `*out` stays on failure. `errno` stays too, except that a
/// lack of memory shows there as well, as in glibc.
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

/// C's `aligned_alloc`. As C17 has it, and glibc from 2.38 on: any power of two, any size.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if align.is_power_of_two() { answer(allocate(align, size)) } else { fail(EINVAL) }
}

/// The old `memalign`: an alignment that is no power of two is raised to the next, as in glibc.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => answer(allocate(align, size)),
        None => fail(EINVAL),
    }
}

/// The old `valloc`: aligned to an OS page.
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
