//! Moving page tables instead of copying memory, for `realloc` of very large blocks.
//!
//! `mremap` with `DONTUNMAP` unmaps the new range and moves the pages of the old range there. The old range stays
//! mapped and reads as zero. A failure can leave one of three states behind:
//! 1. Nothing happened.
//! 2. The new range is unmapped, and another thread of the program may have mapped something there.
//! 3. A part of the pages has moved: Linux 6.17 and later move range by range where attributes differ.
//!
//! A canary in the first page of the new range tells the states apart. A hole is filled without replacing any mapping.
//! An intact canary means that nothing happened. Everything else ends the process: the alternative is to lose data or
//! to write to memory of others. This can only happen if another thread maps memory in the moment after a failure that
//! left a hole. Kernels before 6.17 leave a hole where the old range has several attributes. After one such failure no
//! move is tried again.
//!
//! Orderings: Relaxed. `UNCLEAN` publishes nothing; a thread that reads an old value tries one more move.
//!
//! Locks: none may be held.

use crate::sync::plain::{AtomicBool, Ordering};
use crate::sys::errno::Errno;
use crate::sys::fault::{self, Op};
use crate::sys::held::assert_none_held;
use core::ffi::c_void;
use core::ptr::NonNull;

/// A move has failed and left a hole, so no more moves are tried.
static UNCLEAN: AtomicBool = AtomicBool::new(false);

/// Moves the pages of `old` to `new`; both ranges are `bytes` long. `true`: `new` has the content and `old` reads as
/// zero. `false`: the kernel refused. Then `old` is unchanged, and `new` is usable, with any content.
///
/// # Safety
/// Both ranges are OS-page-aligned, do not overlap and lie in backed memory of ours. Nobody else uses them during the
/// call, and nobody needs the content of `new`.
pub unsafe fn move_pages(old: NonNull<u8>, bytes: usize, new: NonNull<u8>) -> bool {
    assert_none_held("mremap");
    if fault::fails(Op::Move) {
        return false;
    }
    fault::record(Op::Move, bytes);
    if UNCLEAN.load(Ordering::Relaxed) {
        return false;
    }
    let canary = new.as_ptr().addr() ^ crate::sys::time::monotonic_ns() as usize;
    // SAFETY: `new` is usable, page-aligned and at least a page long, and nobody needs its content.
    unsafe { new.cast::<usize>().write_volatile(canary) };
    // Without an answer here the states after a failure could not be told apart.
    if read_word(new) != Some(canary) {
        return false;
    }
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    // SAFETY: the kernel changes the two ranges only; both are ours, and nobody else uses them.
    let moved = unsafe { libc::mremap(old.as_ptr().cast(), bytes, bytes, flags, new.as_ptr().cast::<c_void>()) };
    if moved == libc::MAP_FAILED {
        // SAFETY: the caller's contract, and the canary was written above.
        unsafe { repair(new, bytes, canary) };
        return false;
    }
    true
}

/// Makes sure that `new` is ours after a failed move.
///
/// # Safety
/// `new` was backed memory of ours before the move, and `canary` is what its first word held.
#[cold]
unsafe fn repair(new: NonNull<u8>, bytes: usize, canary: usize) {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: NOREPLACE maps only where nothing is mapped; a hole in our range is ours to fill.
    let base = unsafe { libc::mmap(new.as_ptr().cast(), bytes, rights, flags, -1, 0) };
    if base == new.as_ptr().cast() {
        UNCLEAN.store(true, Ordering::Relaxed);
        return;
    }
    if base != libc::MAP_FAILED {
        // A kernel without the flag (before 4.17) has mapped another place, because the range is occupied.
        // SAFETY: the mapping was just made and nobody knows it.
        unsafe { libc::munmap(base, bytes) };
    }
    if read_word(new).is_some_and(|word| word != canary) {
        crate::sys::fatal!("sys", "mremap to {:#x} failed half-way", new.as_ptr().addr());
    }
}

/// Reads a word at an address that may be unmapped. `Some(0)` if it is; `None` if the kernel forbids the call.
fn read_word(at: NonNull<u8>) -> Option<usize> {
    let mut word = 0_usize;
    let local = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: size_of::<usize>() };
    let remote = libc::iovec { iov_base: at.as_ptr().cast(), iov_len: size_of::<usize>() };
    // SAFETY: the kernel writes one word to `word`, or fails if `at` is not readable.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    match read {
        8 => Some(word),
        _ if Errno::last() == Errno(libc::EFAULT) => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::vm;

    const BYTES: usize = 1 << 20;

    fn backed() -> NonNull<u8> {
        let base = vm::reserve(BYTES, 1 << 13).unwrap();
        // SAFETY: the reservation was just made.
        assert!(unsafe { vm::back_in_growth(base, BYTES) });
        base
    }

    /// One test: its last part changes the process, so the order counts.
    #[test]
    fn moves_refusals_and_holes() {
        pages_move_and_leave_zeroes();
        after_a_refused_move_the_target_is_usable();
        a_hole_is_filled_again_and_no_move_is_tried_after_it();
    }

    fn pages_move_and_leave_zeroes() {
        let (old, new) = (backed(), backed());
        // SAFETY: both ranges are fresh, backed and known to this test only.
        unsafe {
            old.write_bytes(0xa5, BYTES);
            assert!(move_pages(old, BYTES, new));
            for i in [0, 1, 4096, BYTES - 1] {
                assert_eq!((old.add(i).read(), new.add(i).read()), (0, 0xa5));
            }
            assert!(vm::unmap(old, BYTES) && vm::unmap(new, BYTES));
        }
    }

    fn after_a_refused_move_the_target_is_usable() {
        let (old, new) = (backed(), backed());
        // SAFETY: both ranges are this test's own; the kernel refuses to move what is not mapped.
        unsafe {
            assert!(vm::unmap(old, BYTES));
            assert!(!move_pages(old, BYTES, new));
            new.write_bytes(1, BYTES);
            assert!(vm::unmap(new, BYTES));
        }
    }

    fn a_hole_is_filled_again_and_no_move_is_tried_after_it() {
        let (old, new) = (backed(), backed());
        // SAFETY: the range is this test's own.
        unsafe {
            assert!(vm::unmap(new, BYTES));
            repair(new, BYTES, 1);
            new.write_bytes(1, BYTES);
            assert!(!move_pages(old, BYTES, new));
            assert!(vm::unmap(old, BYTES) && vm::unmap(new, BYTES));
        }
    }

    #[test]
    #[should_panic(expected = "failed half-way")]
    fn a_range_that_somebody_else_took_ends_the_process() {
        let new = backed();
        // SAFETY: the range is this test's own; a word other than the canary stands for another owner.
        unsafe { repair(new, BYTES, 1) };
    }
}
