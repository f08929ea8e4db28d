//! A block of the allocator under test, at raw level: what a container does, without the container.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::null_mut;

use crate::measure::raw::Zeroable;

/// Alignment of every block.
const ALIGN: usize = 8;
/// One write for each of these bytes backs a block whatever the page size.
pub const TOUCH_BYTES: usize = 4096;

/// An owned block; all-zero bytes are "none".
pub struct Block {
    address: *mut u8,
    bytes: usize,
}

// SAFETY: null and zero are the empty block, which owns nothing.
unsafe impl Zeroable for Block {}
// SAFETY: the block owns its memory, like a Box.
unsafe impl Send for Block {}

impl Block {
    /// No block.
    pub const NONE: Block = Block { address: null_mut(), bytes: 0 };

    #[inline]
    fn layout(bytes: usize) -> Layout {
        debug_assert!(bytes <= isize::MAX as usize - ALIGN);
        // SAFETY: ALIGN is a power of two and the callers' sizes are far below isize::MAX.
        unsafe { Layout::from_size_align_unchecked(bytes, ALIGN) }
    }

    /// Allocates `bytes` (at least 8) and writes the first word.
    #[inline]
    pub fn new(bytes: usize) -> Self {
        debug_assert!(bytes >= 8);
        // SAFETY: the size is not zero.
        let address = unsafe { alloc(Self::layout(bytes)) };
        if address.is_null() {
            handle_alloc_error(Self::layout(bytes));
        }
        // SAFETY: the block is at least 8 bytes and 8-aligned.
        unsafe { address.cast::<u64>().write_volatile(bytes as u64) };
        Block { address, bytes }
    }

    /// Allocates zeroed memory; writes nothing.
    #[inline]
    pub fn zeroed(bytes: usize) -> Self {
        // SAFETY: the size is not zero.
        let address = unsafe { alloc_zeroed(Self::layout(bytes)) };
        if address.is_null() {
            handle_alloc_error(Self::layout(bytes));
        }
        Block { address, bytes }
    }

    /// Writes one byte in every 4 KiB of the first `bytes`.
    #[inline]
    pub fn touch_first(&mut self, bytes: usize) {
        let mut at = 0;
        while at < bytes.min(self.bytes) {
            // SAFETY: `at` is inside the block.
            unsafe { self.address.add(at).write_volatile(1) };
            at += TOUCH_BYTES;
        }
    }

    /// Writes one byte in every 4 KiB.
    #[inline]
    pub fn touch(&mut self) {
        self.touch_first(self.bytes);
    }

    /// The first word.
    #[inline]
    pub fn first_word(&self) -> u64 {
        assert!(self.bytes >= 8);
        // SAFETY: blocks are written, or were zeroed, at birth, and the assertion bounds the read.
        unsafe { self.address.cast::<u64>().read_volatile() }
    }

    /// Whether there is a block.
    #[inline]
    pub fn is_some(&self) -> bool {
        !self.address.is_null()
    }

    /// First address and size.
    pub fn range(&self) -> (usize, usize) {
        (self.address.addr(), self.bytes)
    }

    /// Frees the block, if there is one, and leaves none.
    #[inline]
    pub fn release(&mut self) {
        drop(std::mem::replace(self, Block::NONE));
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if self.is_some() {
            // SAFETY: the block came from the global allocator with this layout and is freed once.
            unsafe { dealloc(self.address, Self::layout(self.bytes)) };
        }
    }
}
