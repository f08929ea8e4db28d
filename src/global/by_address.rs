//! Operations that know an object only by its address, as C's operations do.
//!
//! A free finds the object's magazine by the object's page: with one load near the heap's first address, with two elsewhere.
//! Small objects go onto the spare magazine (see `caches::slow_path`). The sizes that a caller passes (`free_sized`, sized
//! `delete`) are not used: a program with a wrong size would corrupt the heap, and a check costs more than the size saves.
//!
//! An object that `reallocate` has shrunk may lie in a larger slot than a new object of its size. This does no harm, because
//! every operation takes the class from the page.
//!
//! Locks: none on the fast paths.

use core::ptr::{NonNull, copy_nonoverlapping, null_mut};

use crate::caches::{self, Free};
use crate::heap::Heap;
#[cfg(debug_assertions)]
use crate::size_class::CLASSES;
use crate::size_class::{class_of, class_of_c, info, push_number};
use crate::sys::errno::Saved;

use super::background::{look_after_allocation, look_after_free_by_c};
use super::{fork, process_heap, slow, tls};

/// An object in a slot of at most this size stays in its slot when it shrinks, however small it becomes.
const KEEP_BYTES: usize = 64;

/// Allocates from the thread's loaded magazine, at C's alignment. Null if the magazine is empty, or if the size has no class.
#[inline(always)]
pub fn allocate_at_hand(size: usize) -> *mut u8 {
    pop(class_of_c(size))
}

#[inline(always)]
fn pop(class: Option<usize>) -> *mut u8 {
    let Some(class) = class else { return null_mut() };
    // SAFETY: `fast` is this thread's cache or the sentinel cache, read just now.
    core::ptr::with_exposed_provenance_mut(unsafe { (*tls::fast()).pop(class) })
}

/// Allocates when the loaded magazine is empty. Null if there is no memory.
#[inline]
pub fn allocate_slow(size: usize, align: usize) -> *mut u8 {
    if let Some(class) = class_of(size, align) {
        // SAFETY: the words are the thread's own.
        if let Some(cache) = unsafe { tls::words().cache() } {
            // A fork need not know of this path (`fork::enter`): the path takes no lock, and it moves slots only inside the
            // thread's own cache, which the child of a fork that interrupts it keeps.
            let object = caches::allocate_from_spare(cache, class);
            if !object.is_null() {
                return object;
            }
        }
    }
    slow::allocate(size, align)
}

/// Allocates an object. Null if there is no memory. `align` is a power of two.
#[inline(always)]
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    let object = pop(class_of(size, align));
    if object.is_null() { allocate_slow(size, align) } else { object }
}

/// Allocates an object that reads as zero. Null if there is no memory.
#[inline]
pub fn allocate_zeroed(size: usize, align: usize) -> *mut u8 {
    if size != 0 && class_of(size, align).is_none() {
        return slow::allocate_zeroed(size, align);
    }
    let object = allocate(size, align);
    if !object.is_null() {
        // SAFETY: the object has `size` bytes, and nobody else has it.
        unsafe { object.write_bytes(0, size) };
    }
    object
}

/// Frees an object, and keeps `errno`. Null is ignored.
///
/// # Safety
/// The object is null, or the caller's and from this heap.
#[inline(always)]
pub unsafe fn free(object: *mut u8) {
    // SAFETY: the caller's contract; the number is the object's.
    unsafe {
        match process_heap::push_number_near(object.addr()) {
            Some(number) => free_numbered(object, number),
            None => free_far(object),
        }
    }
}

/// Frees an object that is far from the heap's first address, or null.
///
/// # Safety
/// As for [`free`].
#[inline(never)]
unsafe extern "C" fn free_far(object: *mut u8) {
    // SAFETY: the caller's contract; the number is the object's.
    unsafe {
        let class_number = process_heap::class_number_at(object.addr()).unwrap_or(0);
        free_numbered(object, push_number(class_number as u8) as usize);
    }
}

/// # Safety
/// As for [`free`]; `number` is the push number of the small span that holds the object, or 0 if no small span holds it.
#[inline(always)]
unsafe fn free_numbered(object: *mut u8, number: usize) {
    #[cfg(debug_assertions)]
    if number != 0 {
        slow::check_free(object, (number - 1) % CLASSES);
    }
    // SAFETY:
    // - `fast` is this thread's cache or the sentinel cache; the object is a slot of its page's class, or the number is 0;
    // - if the push fails: the caller's contract.
    unsafe {
        if !(*tls::fast()).push_numbered(number, object.expose_provenance()) {
            free_slow(object);
        }
    }
}

/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
unsafe fn free_slow(object: *mut u8) {
    let Some(object) = NonNull::new(object) else { return };
    let _errno = Saved::new();
    let Some((heap, _pause)) = fork::enter() else { return };
    // SAFETY: the caller's contract.
    match unsafe { class_at(object) } {
        // SAFETY: the object is the caller's.
        Some(class) => unsafe { heap.deallocate(slow::cache_for_free_by_c(heap), class, object, Free::ByAddress) },
        None => heap.deallocate_large(object),
    }
    look_after_free_by_c(heap);
}

/// The class of an object. `None` if the object is large.
///
/// # Safety
/// As for [`free`].
#[inline]
unsafe fn class_at(object: NonNull<u8>) -> Option<usize> {
    // SAFETY: the caller's contract.
    unsafe { process_heap::class_number_at(object.addr().get()) }?.checked_sub(1)
}

/// The bytes of an object: at least as many as were asked for. The caller may use all of them. 0 for null.
///
/// # Safety
/// As for [`free`].
pub unsafe fn usable_bytes(object: *mut u8) -> usize {
    let (Some(object), Some(heap)) = (NonNull::new(object), process_heap::heap()) else { return 0 };
    // SAFETY: the caller's contract.
    match unsafe { class_at(object) } {
        Some(class) => info(class).slot_bytes as usize,
        None => heap.page_heaps().large_bytes(object),
    }
}

/// Makes an object at least `size` bytes (not 0) large, in place or at a new place aligned to `align`. Null if there is no
/// memory; the object is then as it was.
///
/// # Safety
/// The object is the caller's and from this heap.
pub unsafe fn reallocate(object: NonNull<u8>, size: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller's contract.
    if let Some(class) = unsafe { class_at(object) } {
        let slot = info(class).slot_bytes as usize;
        if size <= slot && (size >= slot / 2 || slot <= KEEP_BYTES) {
            return object.as_ptr();
        }
        // SAFETY: the caller's contract.
        return unsafe { copy_to_new(object, slot, size, align) };
    }
    let Some((heap, _pause)) = fork::enter() else { return null_mut() };
    // SAFETY: the caller's contract.
    unsafe { reallocate_large(heap, object, size, align) }
}

/// # Safety
/// As for [`reallocate`].
#[cold]
unsafe fn reallocate_large(heap: &'static Heap, object: NonNull<u8>, size: usize, align: usize) -> *mut u8 {
    let used = heap.page_heaps().large_bytes(object);
    if class_of(size, align).is_some() {
        // SAFETY: the caller's contract.
        return unsafe { copy_to_new(object, used, size, align) };
    }
    let result =
        heap.reallocate_large(slow::own_shard(heap), object, used, (size, align)).map_or(null_mut(), NonNull::as_ptr);
    look_after_allocation(heap);
    result
}

/// # Safety
/// As for [`reallocate`]; the object has `used` bytes.
unsafe fn copy_to_new(object: NonNull<u8>, used: usize, size: usize, align: usize) -> *mut u8 {
    let new = allocate(size, align);
    if !new.is_null() {
        // SAFETY: both objects have at least the copied bytes and do not overlap; the old object is the caller's to free.
        unsafe {
            copy_nonoverlapping(object.as_ptr(), new, used.min(size));
            free(object.as_ptr());
        }
    }
    new
}
