//! The fast paths: a pop or a push, inlined into the caller. With a constant layout the class is a constant, too. All other work
//! is one out-of-line call in tail position.
//!
//! Locks: none.

use crate::size_class::class_of;

use super::{slow, tls};

/// Allocates an object. Null if there is no memory. `align` is a power of two.
#[inline(always)]
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    if let Some(class) = class_of(size, align) {
        // SAFETY: `fast` is this thread's cache or the sentinel cache, read just now.
        let slot = unsafe { (*tls::fast()).pop(class) };
        if slot != 0 {
            return core::ptr::with_exposed_provenance_mut(slot);
        }
    }
    slow::allocate(size, align)
}

/// Frees an object of a layout.
///
/// # Safety
/// The object is the caller's, is from this heap, and was allocated with the layout.
#[inline(always)]
pub unsafe fn deallocate(object: *mut u8, size: usize, align: usize) {
    if let Some(class) = class_of(size, align) {
        #[cfg(debug_assertions)]
        slow::check_free(object, class);
        // SAFETY: as in `allocate`; the object is a slot of the layout's class, by the caller's contract.
        if unsafe { (*tls::fast()).push(class, object.expose_provenance()) } {
            return;
        }
    }
    // SAFETY: the caller's contract.
    unsafe { slow::deallocate(object, size, align) }
}
