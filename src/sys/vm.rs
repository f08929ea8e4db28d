//! Address space and memory.
//!
//! A reservation is address space without access rights. It does not count towards the commit limit, so it costs
//! nothing. Growth makes parts of a reservation usable. A release gives memory back and keeps its address space.
//!
//! Invariants: (1) nothing here maps over an address range of others (`MAP_FIXED` is never used); (2) a released range
//! reads as zero.
//!
//! Locks: none may be held, except the heap lock during growth ([`reserve`], [`map_metadata`], [`back_in_growth`]).
//! Growth is rare, it only edits the kernel's list of mappings, and the growing thread must be sure of its pages.

use super::errno::{EINVAL, Errno};
use super::fault::{self, Op};
use super::held::{Rank, assert_none_held, assert_only_held};
use core::ffi::{CStr, c_int, c_void};
use core::ptr::{self, NonNull};

mod move_pages;
mod release_many;

pub use move_pages::move_pages;
pub use release_many::release_many;

/// Reserves `bytes` of address space without access, aligned to `align` (a power of two). `None` when the kernel
/// refuses.
///
/// May run under the lock of growth.
pub fn reserve(bytes: usize, align: usize) -> Option<NonNull<u8>> {
    assert_only_held("mmap", &Rank::GROWTH);
    // A mapping is page-aligned. The excess makes room for the rest of the alignment.
    let excess = align.saturating_sub(super::page::os_page_bytes());
    let total = bytes.checked_add(excess)?;
    if bytes == 0 || !align.is_power_of_two() || fault::fails(Op::Map) {
        return None;
    }
    let base = map(total, libc::PROT_NONE)?;
    fault::record(Op::Map, bytes);
    let head = base.as_ptr().align_offset(align);
    // SAFETY: the offset stays inside the excess, because `base` is page-aligned and `align` a power of two.
    let aligned = unsafe { base.add(head) };
    // A trim that fails (at the limit of mappings) leaves address space without memory, so nothing is lost.
    if head > 0 {
        // SAFETY: the head belongs to the fresh mapping, and nobody else knows it.
        let _ = unsafe { unmap_raw(base, head) };
    }
    if excess > head {
        // SAFETY: as above, for the tail, which starts inside the mapping.
        let _ = unsafe { unmap_raw(aligned.add(bytes), excess - head) };
    }
    set_name(aligned, bytes, c"neap heap");
    Some(aligned)
}

/// Reserves as [`reserve`] does, right below `end`. `None` if something is there, or the kernel refuses. An alignment needs
/// more address space for a moment; a place that is aligned does not.
///
/// May run under the lock of growth.
pub fn reserve_below(end: usize, bytes: usize) -> Option<NonNull<u8>> {
    assert_only_held("mmap", &Rank::GROWTH);
    let wanted = end.checked_sub(bytes)?;
    if bytes == 0 || fault::fails(Op::Map) {
        return None;
    }
    // A hint: the kernel maps elsewhere what does not fit there.
    let base = map_near(wanted, bytes, libc::PROT_NONE)?;
    if base.addr().get() != wanted {
        // SAFETY: mapped just now, and nobody knows it.
        let _ = unsafe { unmap_raw(base, bytes) };
        return None;
    }
    fault::record(Op::Map, bytes);
    set_name(base, bytes, c"neap heap");
    Some(base)
}

/// An address below which the kernel has free address space, as a rule.
///
/// May run under the lock of growth.
pub fn free_address() -> Option<usize> {
    assert_only_held("mmap", &Rank::GROWTH);
    let page = map(super::page::os_page_bytes(), libc::PROT_NONE)?;
    // SAFETY: mapped just now, and nobody knows it.
    let _ = unsafe { unmap_raw(page, super::page::os_page_bytes()) };
    Some(page.addr().get())
}

/// Maps `bytes` of zeroed memory for the allocator's own tables. The first touch of a page backs the page. `None` when the
/// kernel refuses.
///
/// Tables are sparse, and parts of them are released. So they stay on small pages in every mode of the system: on huge
/// pages a touch would take 2 MiB, and a release of a part would give nothing back. The advice is given in every mode,
/// because the administrator may change the mode later.
///
/// May run under the lock of growth.
pub fn map_metadata(bytes: usize) -> Option<NonNull<u8>> {
    assert_only_held("mmap", &Rank::GROWTH);
    if bytes == 0 || fault::fails(Op::Map) {
        return None;
    }
    let base = map(bytes, libc::PROT_READ | libc::PROT_WRITE)?;
    fault::record(Op::Map, bytes);
    // A kernel without huge pages refuses. A free that needs metadata must not change `errno`.
    let _saved = super::errno::Saved::new();
    // SAFETY: the fresh mapping is ours and holds nothing.
    let _ = unsafe { advise(base, bytes, libc::MADV_NOHUGEPAGE) };
    set_name(base, bytes, c"neap metadata");
    Some(base)
}

/// Makes a part of a reservation readable and writable; the part reads as zero. `false`, without effect, when the
/// kernel refuses: at the commit limit or at the limit of mappings.
///
/// May run under the lock of growth.
///
/// # Safety
/// The range is page-aligned and lies in one reservation of [`reserve`].
pub unsafe fn back_in_growth(base: NonNull<u8>, bytes: usize) -> bool {
    assert_only_held("mprotect", &Rank::GROWTH);
    if fault::fails(Op::Back) {
        return false;
    }
    fault::record(Op::Back, bytes);
    // SAFETY: the range is ours (the caller's contract), and the call only adds rights.
    unsafe { libc::mprotect(base.as_ptr().cast(), bytes, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Releases a range: its memory goes back to the kernel at once, and the range reads as zero.
///
/// Fails with `EINVAL` on memory that is locked by `mlock`; its content is then unchanged.
///
/// # Safety
/// The range is OS-page-aligned and lies in backed memory of ours. Nobody needs its content.
pub unsafe fn release(base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    assert_none_held("madvise(DONTNEED)");
    if fault::fails(Op::Release) {
        return Err(EINVAL);
    }
    fault::record(Op::Release, bytes);
    // SAFETY: nobody needs the content (the caller's contract).
    unsafe { advise(base, bytes, libc::MADV_DONTNEED) }
}

/// [`release`] for the allocator's own tables. (In models these are real memory, unlike the heap.)
///
/// # Safety
/// As for [`release`].
pub unsafe fn release_metadata(base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe { release(base, bytes) }
}

/// Marks a range as not used soon (`MADV_COLD`). The content stays. As a side effect the kernel splits a huge page that
/// the range covers in part. A release of the rest of this huge page then gives its memory back for good.
///
/// # Safety
/// The range is OS-page-aligned and lies in memory of ours.
pub unsafe fn cold(base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    assert_none_held("madvise(COLD)");
    fault::record(Op::Cold, bytes);
    // SAFETY: the advice changes no content.
    unsafe { advise(base, bytes, libc::MADV_COLD) }
}

/// Asks for huge pages in a range, or forbids them. Fails with `EINVAL` where the kernel was built without them.
///
/// # Safety
/// The range is OS-page-aligned and lies in memory of ours.
pub unsafe fn huge_pages(on: bool, base: NonNull<u8>, bytes: usize) -> Result<(), Errno> {
    assert_none_held("madvise(HUGEPAGE)");
    let advice = if on { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: the advice changes no content.
    unsafe { advise(base, bytes, advice) }
}

/// Gives memory and address space back. `false` when the kernel refuses, at the limit of mappings.
///
/// # Safety
/// The range is OS-page-aligned and was mapped by this module. Nobody uses it any more.
pub unsafe fn unmap(base: NonNull<u8>, bytes: usize) -> bool {
    assert_none_held("munmap");
    // SAFETY: the caller's contract.
    unsafe { unmap_raw(base, bytes) }
}

fn map(bytes: usize, rights: c_int) -> Option<NonNull<u8>> {
    map_near(0, bytes, rights)
}

/// Maps at `hint`, if nothing is there; else elsewhere.
fn map_near(hint: usize, bytes: usize, rights: c_int) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: without MAP_FIXED the kernel picks a place where nothing is mapped, whatever the hint is.
    let base = unsafe { libc::mmap(ptr::without_provenance_mut(hint), bytes, rights, flags, -1, 0) };
    if base == libc::MAP_FAILED { None } else { NonNull::new(base.cast()) }
}

/// # Safety
/// The range was mapped by this module, and nobody uses it any more.
unsafe fn unmap_raw(base: NonNull<u8>, bytes: usize) -> bool {
    // SAFETY: the caller's contract.
    unsafe { libc::munmap(base.as_ptr().cast::<c_void>(), bytes) == 0 }
}

/// # Safety
/// The range is ours. If the advice drops the content, nobody needs the content.
#[inline]
unsafe fn advise(base: NonNull<u8>, bytes: usize, advice: c_int) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    if unsafe { libc::madvise(base.as_ptr().cast(), bytes, advice) } == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// Shows a name in `/proc/self/maps` where the kernel has names for anonymous memory (Linux 5.17).
fn set_name(base: NonNull<u8>, bytes: usize, name: &'static CStr) {
    // A kernel without names refuses. A free that needs metadata must not change `errno`.
    let _saved = super::errno::Saved::new();
    // SAFETY: a name changes no content, and the string is live.
    unsafe { libc::prctl(libc::PR_SET_VMA, libc::PR_SET_VMA_ANON_NAME, base.as_ptr(), bytes, name.as_ptr()) };
}

#[cfg(test)]
mod tests;
