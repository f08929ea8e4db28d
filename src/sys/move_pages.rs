//! Moving page tables instead of copying memory, for `realloc` of really large blocks.
//!
//! `mremap` with `DONTUNMAP` takes the pages away from the old range, which stays mapped and reads as zero, and unmaps
//! what was at the new one. A failure is not always clean: the new range may be unmapped already, and then another thread
//! of the program may have mapped something there; and newer kernels (6.17) move range by range where attributes differ,
//! so that a part may have moved. A canary in the new range's first page tells the cases apart: a hole is filled again
//! without replacing anything, an intact canary means that nothing happened, and all else ends the process, since the
//! alternative would be to lose data or to write to somebody else's memory. That takes another thread's mapping in the
//! instant of a failure that left a hole; after one such failure no move is tried again (kernels before 6.17 fail so where
//! the old range has several attributes).
//!
//! Orderings: Relaxed. `UNCLEAN` publishes nothing; a thread that sees it late tries one move more.
//!
//! Locks: none may be held.

use super::errno::Errno;
use super::fault::{self, Op};
use super::held::assert_none_held;
use crate::sync::plain::{AtomicBool, Ordering};
use core::ffi::c_void;
use core::ptr::NonNull;

/// A move has failed and left a hole: this kernel, or this process, is no place for moves.
static UNCLEAN: AtomicBool = AtomicBool::new(false);

/// Moves the pages of `old` to `new`, both `bytes` long. `true`: `new` has the content, `old` reads as zero. `false`: the
/// kernel refused, `old` is unchanged, `new` is usable and its content is unspecified.
///
/// # Safety
/// Both ranges are OS-page-aligned, do not overlap and lie in backed memory of ours; nobody else uses either now, and the
/// content of `new` is not needed.
pub unsafe fn move_pages(old: NonNull<u8>, bytes: usize, new: NonNull<u8>) -> bool {
    assert_none_held("mremap");
    if fault::fails(Op::Move) {
        return false;
    }
    fault::record(Op::Move, bytes);
    if UNCLEAN.load(Ordering::Relaxed) {
        return false;
    }
    let canary = new.as_ptr().addr() ^ super::time::monotonic_ns() as usize;
    // SAFETY: `new` is usable, page-aligned, at least a page long, and its content is not needed.
    unsafe { new.cast::<usize>().write_volatile(canary) };
    // Where the kernel does not let us ask, the cases could not be told apart afterwards.
    if read_word(new) != Some(canary) {
        return false;
    }
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    // SAFETY: the kernel only changes the two ranges, which are ours and in nobody else's use.
    let moved = unsafe { libc::mremap(old.as_ptr().cast(), bytes, bytes, flags, new.as_ptr().cast::<c_void>()) };
    if moved == libc::MAP_FAILED {
        // SAFETY: the caller's contract, and the canary was written above.
        unsafe { repair(new, bytes, canary) };
        return false;
    }
    true
}

/// Makes sure that `new` is ours after a move that failed.
///
/// # Safety
/// `new` was backed memory of ours before the move, and `canary` is what its first word held.
#[cold]
unsafe fn repair(new: NonNull<u8>, bytes: usize, canary: usize) {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: NOREPLACE only maps where nothing is; a hole in our range is ours to fill.
    let base = unsafe { libc::mmap(new.as_ptr().cast(), bytes, rights, flags, -1, 0) };
    if base == new.as_ptr().cast() {
        UNCLEAN.store(true, Ordering::Relaxed);
        return;
    }
    if base != libc::MAP_FAILED {
        // A kernel that does not know the flag (before 4.17) mapped elsewhere: the range is occupied.
        // SAFETY: the mapping was just made and nobody knows it.
        unsafe { libc::munmap(base, bytes) };
    }
    if read_word(new).is_some_and(|word| word != canary) {
        super::fatal!("sys", "mremap to {:#x} failed half-way", new.as_ptr().addr());
    }
}

/// Reads a word that may not be readable: `Some(0)` then, `None` if the kernel does not let us ask.
fn read_word(at: NonNull<u8>) -> Option<usize> {
    let mut word = 0_usize;
    let local = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: size_of::<usize>() };
    let remote = libc::iovec { iov_base: at.as_ptr().cast(), iov_len: size_of::<usize>() };
    // SAFETY: the kernel writes one word to `word`, or fails if the other side is not readable.
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

    /// One test, for the last of them leaves its mark on the process.
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
