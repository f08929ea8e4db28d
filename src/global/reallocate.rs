//! Reallocation of an object whose class changes, or that is large before or after. If the class stays, there is nothing to do.
//!
//! Locks: none held here.

use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

use crate::size_class::class_of;

use super::background::look_after_allocation;
use super::slow::own_shard;
use super::{fast, fork};

/// Reallocates by moving the object: the class changes, or only one of the two sizes has a class.
///
/// # Safety
/// As for `GlobalAlloc::realloc`.
#[inline(never)]
pub unsafe fn by_moving(object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the new size does not overflow when rounded up to the alignment (the caller's contract).
    let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
    // SAFETY: the caller's contract; the blocks do not overlap.
    unsafe {
        let new = fast::allocate(new_layout.size(), new_layout.align());
        if !new.is_null() {
            core::ptr::copy_nonoverlapping(object, new, layout.size().min(new_size));
            fast::deallocate(object, layout.size(), layout.align());
        }
        new
    }
}

/// Reallocates an object that is large before or after, or one of whose sizes is 0.
///
/// # Safety
/// As for `GlobalAlloc::realloc`.
#[cold]
#[inline(never)]
pub unsafe fn reallocate(object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    let (size, align) = (layout.size(), layout.align());
    if class_of(size.max(1), align).or(class_of(new_size.max(1), align)).is_some() {
        // SAFETY: the caller's contract.
        return unsafe { by_moving(object, layout, new_size) };
    }
    let (Some((heap, _pause)), Some(base)) = (fork::enter(), NonNull::new(object)) else { return null_mut() };
    let result =
        heap.reallocate_large(own_shard(heap), base, size, (new_size, align)).map_or(null_mut(), NonNull::as_ptr);
    look_after_allocation(heap);
    result
}
