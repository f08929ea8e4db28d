//! Release of many ranges with few system calls.
//!
//! `process_madvise` takes a list of ranges. Since Linux 6.13 a process may use any advice on itself, and since Linux
//! 6.14 `PIDFD_SELF` names the process without a descriptor. Where the kernel has both, a batch is one call, one walk
//! under the page tables' lock and one TLB flush. A call with an empty list finds this out once. Elsewhere a batch is a
//! loop of `madvise`.
//!
//! Rejected: a descriptor from `pidfd_open`. It would serve one kernel version only. It would have to survive a program
//! that closes or reuses descriptors of others, and a fork, after which it names the parent.
//!
//! Locks: none may be held.

use super::release;
use crate::sys::errno::Stopped;
use crate::sys::fault::{self, Op};
use crate::sys::held::assert_none_held;
use core::ffi::c_void;
use core::ptr::NonNull;
use once_cell::race::OnceBool;

/// `PIDFD_SELF_THREAD_GROUP` of <linux/pidfd.h>.
const PIDFD_SELF: i32 = -10001;
/// The most ranges in one call. Their list stands on the stack.
const BATCH: usize = 128;
/// The most bytes in one call. The kernel cuts a list at 2 GiB less a page, so it never cuts a batch.
const BATCH_BYTES: usize = 1 << 30;

/// Releases `(address, bytes)` ranges, each as [`release`] does. Stops at the first range that the kernel refuses.
///
/// # Safety
/// Each range fulfils the contract of [`release`].
pub unsafe fn release_many(ranges: &[(NonNull<u8>, usize)]) -> Result<(), Stopped> {
    assert_none_held("process_madvise(DONTNEED)");
    let mut done = 0;
    while done < ranges.len() {
        let batch = batch(&ranges[done..]);
        // Three kinds of batch take one call a range: a single range, a batch in a test that injects faults, and a
        // batch that the kernel did not take whole, to find the refused range. A second release of a range is harmless.
        // SAFETY: the caller's contract.
        if batch.len() == 1 || fault::armed(Op::Release) || !unsafe { release_batch(batch) } {
            for (i, &(base, bytes)) in batch.iter().enumerate() {
                // SAFETY: the caller's contract.
                unsafe { release(base, bytes) }.map_err(|errno| Stopped { released: done + i, errno })?;
            }
        }
        done += batch.len();
    }
    Ok(())
}

/// The ranges of the next call: at least one.
fn batch(ranges: &[(NonNull<u8>, usize)]) -> &[(NonNull<u8>, usize)] {
    let mut bytes = 0_usize;
    let fitting = ranges.iter().take(BATCH).take_while(|range| {
        bytes = bytes.saturating_add(range.1);
        bytes <= BATCH_BYTES
    });
    &ranges[..fitting.count().max(1)]
}

/// Releases up to [`BATCH`] ranges with one call. `false` unless the kernel has released all of them.
///
/// # Safety
/// Each range fulfils the contract of [`release`].
unsafe fn release_batch(ranges: &[(NonNull<u8>, usize)]) -> bool {
    if !supported() {
        return false;
    }
    let mut list = [libc::iovec { iov_base: core::ptr::null_mut(), iov_len: 0 }; BATCH];
    let mut bytes = 0;
    for (entry, range) in list.iter_mut().zip(ranges) {
        *entry = libc::iovec { iov_base: range.0.as_ptr().cast::<c_void>(), iov_len: range.1 };
        bytes += range.1;
    }
    // SAFETY: nobody needs the content of the ranges (the caller's contract), and the list is live.
    let released = unsafe { process_madvise(&list[..ranges.len()]) } == bytes as isize;
    if released {
        fault::record(Op::ReleaseMany, bytes);
    }
    released
}

/// Whether the kernel takes advice from a process on itself. An empty list passes all checks and does nothing.
fn supported() -> bool {
    static SUPPORTED: OnceBool = OnceBool::new();
    // SAFETY: an empty list names no memory.
    SUPPORTED.get_or_init(|| unsafe { process_madvise(&[]) } == 0)
}

/// # Safety
/// Nobody needs the content of the ranges.
unsafe fn process_madvise(list: &[libc::iovec]) -> isize {
    // SAFETY: the caller's contract; the list is live.
    unsafe {
        libc::syscall(libc::SYS_process_madvise, PIDFD_SELF, list.as_ptr(), list.len(), libc::MADV_DONTNEED, 0) as isize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_in_count_and_bytes_and_never_empty() {
        let at = NonNull::<u8>::dangling();
        assert_eq!(batch(&[(at, 4096); 200]).len(), BATCH);
        assert_eq!(batch(&[(at, BATCH_BYTES / 2); 5]).len(), 2);
        assert_eq!(batch(&[(at, usize::MAX); 2]).len(), 1);
    }
}
