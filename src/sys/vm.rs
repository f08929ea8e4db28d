//! Address space and memory.
//!
//! Address space is reserved without access rights and without counting towards the commit limit, so that it costs
//! nothing; growing makes parts of it usable; releasing gives the memory back and keeps the address space.
//!
//! Invariants: (1) nothing here maps over an address range that was not ours before (`MAP_FIXED` is never used);
//! (2) what `release` has returned from with success reads as zero.
//!
//! Locks: none may be held, except that growth ([`reserve`], [`map_metadata`], [`back_in_growth`]) may run under the heap
//! lock: it is rare, it only edits the kernel's list of mappings, and the thread that grew must be
//! sure of its pages.

use super::errno::{EINVAL, Errno};
use super::fault::{self, Op};
use super::held::{Rank, assert_none_held, assert_only_held};
use core::ffi::{CStr, c_int, c_void};
use core::ptr::{self, NonNull};

pub use super::move_pages::move_pages;
pub use super::release_many::release_many;

/// Reserves `bytes` of address space without access, aligned to `align` (a power of two). `None` when the kernel refuses.
///
/// May run under the locks of growth.
pub fn reserve(bytes: usize, align: usize) -> Option<NonNull<u8>> {
    assert_only_held("mmap", &Rank::GROWTH);
    // A mapping is page-aligned anyway; the rest of the alignment must come out of the excess.
    let excess = align.saturating_sub(super::page::os_page_bytes());
    let total = bytes.checked_add(excess)?;
    if bytes == 0 || !align.is_power_of_two() || fault::fails(Op::Map) {
        return None;
    }
    let base = map(total, libc::PROT_NONE)?;
    fault::record(Op::Map, bytes);
    let head = base.as_ptr().align_offset(align);
    // SAFETY: align_offset stays inside the excess, since `base` is page-aligned and `align` a power of two.
    let aligned = unsafe { base.add(head) };
    // A trim that fails (mapping count limit) leaves address space without memory behind it: nothing is lost.
    if head > 0 {
        // SAFETY: the head belongs to the fresh mapping and nobody knows it.
        let _ = unsafe { unmap_raw(base, head) };
    }
    if excess > head {
        // SAFETY: as above, for the tail, which starts inside the mapping.
        let _ = unsafe { unmap_raw(aligned.add(bytes), excess - head) };
    }
    set_name(aligned, bytes, c"neap heap");
    Some(aligned)
}

/// Maps `bytes` of zeroed memory for the allocator's own tables; pages are backed when first touched. `None` when the
/// kernel refuses. Never unmapped by design; a test may [`unmap`] it.
///
/// Tables are sparse, and parts of them are released again. So they stay on small pages even where the system is set to
/// huge ones everywhere: a touch would take 2 MiB, and a release of part of that would give nothing back. Asked for in
/// every mode, since the administrator may change it later.
///
/// May run under the locks of growth.
pub fn map_metadata(bytes: usize) -> Option<NonNull<u8>> {
    assert_only_held("mmap", &Rank::GROWTH);
    if bytes == 0 || fault::fails(Op::Map) {
        return None;
    }
    let base = map(bytes, libc::PROT_READ | libc::PROT_WRITE)?;
    fault::record(Op::Map, bytes);
    // A kernel without huge pages refuses, and a free that needed metadata leaves `errno` alone.
    let _saved = super::errno::Saved::new();
    // SAFETY: the fresh mapping is ours and holds nothing.
    let _ = unsafe { advise(base, bytes, libc::MADV_NOHUGEPAGE) };
    set_name(base, bytes, c"neap metadata");
    Some(base)
}

/// Makes part of a reservation readable and writable; it reads as zero. `false` when the kernel refuses (commit limit or
/// mapping count limit), and nothing has changed then.
///
/// May run under the locks of growth.
///
/// # Safety
/// The range is page-aligned and lies in one reservation of [`reserve`].
pub unsafe fn back_in_growth(base: NonNull<u8>, bytes: usize) -> bool {
    assert_only_held("mprotect", &Rank::GROWTH);
    if fault::fails(Op::Back) {
        return false;
    }
    fault::record(Op::Back, bytes);
    // SAFETY: the range is ours (the caller's contract); rights are only added.
    unsafe { libc::mprotect(base.as_ptr().cast(), bytes, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Releases a range: its memory goes back to the kernel at once, and it reads as zero from now on.
///
/// Fails with `EINVAL` on memory locked by `mlock`; the content is then unchanged.
///
/// # Safety
/// The range is OS-page-aligned, lies in backed memory of ours, and its content is no longer needed by anyone.
pub unsafe fn release(base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    assert_none_held("madvise(DONTNEED)");
    if fault::fails(Op::Release) {
        return Err(EINVAL);
    }
    fault::record(Op::Release, bytes);
    // SAFETY: the content is not needed (the caller's contract).
    unsafe { advise(base, bytes, libc::MADV_DONTNEED) }
}

/// [`release`] for the allocator's own tables, which read as zero afterwards.
///
/// # Safety
/// As for [`release`].
pub unsafe fn release_metadata(base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe { release(base, bytes) }
}

/// Marks a range as not used soon (`MADV_COLD`); as a side effect the kernel splits a huge page that the range covers in
/// part, so that releasing the rest of it gives memory back for good. The content stays.
///
/// # Safety
/// The range is OS-page-aligned and lies in memory of ours.
pub unsafe fn cold(base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    assert_none_held("madvise(COLD)");
    fault::record(Op::Cold, bytes);
    // SAFETY: the advice changes no content.
    unsafe { advise(base, bytes, libc::MADV_COLD) }
}

/// Asks for huge pages in a range, or for none. Fails with `EINVAL` where the kernel was built without them.
///
/// # Safety
/// The range is OS-page-aligned and lies in memory of ours.
pub unsafe fn huge_pages(on: bool, base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    assert_none_held("madvise(HUGEPAGE)");
    let advice = if on { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: the advice changes no content.
    unsafe { advise(base, bytes, advice) }
}

/// Gives memory and address space back. `false` when the kernel refuses (mapping count limit).
///
/// # Safety
/// The range is OS-page-aligned, was mapped by this module, and nobody uses it any more.
pub unsafe fn unmap(base: NonNull<u8>, bytes: usize) -> bool {
    assert_none_held("munmap");
    // SAFETY: the caller's contract.
    unsafe { unmap_raw(base, bytes) }
}

fn map(bytes: usize, rights: c_int) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: without MAP_FIXED and without a hint the kernel picks a place where nothing is mapped.
    let base = unsafe { libc::mmap(ptr::null_mut(), bytes, rights, flags, -1, 0) };
    if base == libc::MAP_FAILED { None } else { NonNull::new(base.cast()) }
}

/// # Safety
/// The range was mapped by this module and nobody uses it any more.
unsafe fn unmap_raw(base: NonNull<u8>, bytes: usize) -> bool {
    // SAFETY: the caller's contract.
    unsafe { libc::munmap(base.as_ptr().cast::<c_void>(), bytes) == 0 }
}

/// # Safety
/// The range is ours, and its content is not needed if the advice drops it.
#[inline]
unsafe fn advise(base: NonNull<u8>, bytes: usize, advice: c_int) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    if unsafe { libc::madvise(base.as_ptr().cast(), bytes, advice) } == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// Shows a name in `/proc/self/maps` where the kernel has names for anonymous memory (Linux 5.17); else nothing happens.
fn set_name(base: NonNull<u8>, bytes: usize, name: &'static CStr) {
    // A kernel without names refuses, and a free that needed metadata leaves `errno` alone.
    let _saved = super::errno::Saved::new();
    // SAFETY: a name changes no content; the string is live.
    unsafe { libc::prctl(libc::PR_SET_VMA, libc::PR_SET_VMA_ANON_NAME, base.as_ptr(), bytes, name.as_ptr()) };
}

#[cfg(test)]
mod tests;
