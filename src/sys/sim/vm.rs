//! Address space and memory, simulated: the real `vm` says what the functions promise.
//!
//! A release has two steps. Other threads may run between the steps, as they may during a real `madvise`.
//!
//! Locks: as the real `vm`.

use super::{SIM, page_numbers};
use crate::sys::errno::{EINVAL, Errno, Stopped};
use crate::sys::fault::{self, Op};
use crate::sys::held::{Rank, assert_none_held, assert_only_held};
use core::ptr::{self, NonNull};
use std::alloc::Layout;

/// The alignment of metadata that callers may expect.
const METADATA_ALIGN: usize = 4096;

/// Reserves made-up addresses, aligned and below `1 << ADDRESS_BITS`. Nobody may dereference them.
pub fn reserve(bytes: usize, align: usize) -> Option<NonNull<u8>> {
    assert_only_held("mmap", &Rank::GROWTH);
    if bytes == 0 || !align.is_power_of_two() || fault::fails(Op::Map) {
        return None;
    }
    fault::record(Op::Map, bytes);
    NonNull::new(ptr::without_provenance_mut(SIM.tables().reserve(bytes, align)?))
}

/// Refuses: models have no limits, so nobody needs a place.
pub fn reserve_below(end: usize, bytes: usize) -> Option<NonNull<u8>> {
    assert_only_held("mmap", &Rank::GROWTH);
    let _ = (end, bytes);
    None
}

/// There is no such address.
pub fn free_address() -> Option<usize> {
    assert_only_held("mmap", &Rank::GROWTH);
    None
}

/// Allocates real, zeroed memory that lives until the execution of the model ends.
pub fn map_metadata(bytes: usize) -> Option<NonNull<u8>> {
    assert_only_held("mmap", &Rank::GROWTH);
    if bytes == 0 || fault::fails(Op::Map) {
        return None;
    }
    fault::record(Op::Map, bytes);
    // With a small alignment the system allocator takes untouched, zeroed pages from the kernel. The rest of the
    // alignment is made here.
    let layout = Layout::from_size_align(bytes.checked_add(METADATA_ALIGN)?, 16).ok()?;
    // SAFETY: the layout's size is not zero.
    let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
    SIM.tables().metadata.push((base.as_ptr().expose_provenance(), layout));
    let skip = base.as_ptr().align_offset(METADATA_ALIGN);
    // SAFETY: the allocation is longer than `bytes` by the alignment, and `skip` is less.
    Some(unsafe { base.add(skip) })
}

/// Marks a part of a reservation as usable.
///
/// # Safety
/// None; the real one has requirements.
pub unsafe fn back_in_growth(base: NonNull<u8>, bytes: usize) -> bool {
    assert_only_held("mprotect", &Rank::GROWTH);
    if fault::fails(Op::Back) {
        return false;
    }
    fault::record(Op::Back, bytes);
    SIM.tables().back(page_numbers(base.as_ptr().addr(), bytes));
    true
}

/// Marks pages as not resident. Panics if one of them is owned.
///
/// # Safety
/// None; the simulation checks the requirements of the real one.
pub unsafe fn release(base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    assert_none_held("madvise(DONTNEED)");
    if fault::fails(Op::Release) {
        return Err(EINVAL);
    }
    fault::record(Op::Release, bytes);
    let pages = page_numbers(base.as_ptr().addr(), bytes);
    SIM.tables().begin_release(pages.clone());
    SIM.switch();
    SIM.tables().end_release(pages);
    Ok(())
}

/// [`release`], one range after the other.
///
/// # Safety
/// As for [`release`].
pub unsafe fn release_many(ranges: &[(NonNull<u8>, usize)]) -> Result<(), Stopped> {
    for (i, &(base, bytes)) in ranges.iter().enumerate() {
        // SAFETY: nothing is required.
        unsafe { release(base, bytes) }.map_err(|errno| Stopped { released: i, errno })?;
    }
    Ok(())
}

/// Writes zeroes: metadata is real memory here, and a released range must read as zero.
///
/// # Safety
/// The range is metadata, and nobody uses it.
pub unsafe fn release_metadata(base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    assert_none_held("madvise(DONTNEED)");
    SIM.switch();
    // SAFETY: the caller's contract.
    unsafe { base.as_ptr().write_bytes(0, bytes) };
    Ok(())
}

/// Declares advice without an effect on a model.
macro_rules! advice {
    ($(#[doc = $doc:literal] $name:ident ( $($arg:ident : $ty:ty),* );)*) => {$(
        #[doc = $doc]
        ///
        /// # Safety
        /// None; the real one has requirements.
        pub unsafe fn $name($($arg: $ty,)* base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
            assert_none_held("madvise");
            let _ = ($($arg,)* base, bytes);
            Ok(())
        }
    )*};
}

advice! {
    #[doc = "Does nothing."]
    cold();
    #[doc = "Does nothing."]
    huge_pages(on: bool);
}

/// Refuses, as a kernel may.
///
/// # Safety
/// None; the real one has requirements.
pub unsafe fn unmap(base: NonNull<u8>, bytes: usize) -> bool {
    assert_none_held("munmap");
    let _ = (base, bytes);
    false
}

/// Refuses, as a kernel may.
///
/// # Safety
/// None; the real one has requirements.
pub unsafe fn move_pages(old: NonNull<u8>, bytes: usize, new: NonNull<u8>) -> bool {
    assert_none_held("mremap");
    let _ = (old, bytes, new);
    false
}
