//! Large objects. Each large object is a span of its own.
//!
//! The pages of a freed large block are retained, so the next block in them costs no system call. A block that becomes
//! longer takes the pages that follow, if they are free. A block that becomes shorter gives its last pages back.
//!
//! A block that must move is copied, or its page tables are moved (`mremap`). A move pays only for a large block whose new
//! place is not backed. If the new place is backed, a move throws the new place's pages away and leaves the old place to be
//! faulted in again. A move also splits the huge pages at both places, so a smaller block is always copied
//! (`MOVE_PAGES_BYTES`, `benches/results/decisions.md`).
//!
//! Locks: heap, for one operation at a time.

use core::ptr::NonNull;

use crate::pages::Taken;
use crate::span::{STATE_LARGE, Span};
use crate::sys;
use crate::units::{PAGE_BYTES, Page, Run};

use super::PageHeaps;
use super::arena::pointer;

/// From this size on a move of page tables is faster than a copy to fresh memory.
const MOVE_PAGES_BYTES: usize = 16 << 20;

/// A large block of memory.
pub struct Large {
    /// The block's first byte.
    pub base: NonNull<u8>,
    /// Whether all of the block reads as zero.
    pub zeroed: bool,
    /// Whether at least half of the block is not backed.
    mostly_fresh: bool,
}

impl PageHeaps {
    /// Allocates a block of at least `size` bytes; `None` if the OS gives no more memory.
    pub fn allocate_large(&self, shard: usize, size: usize, align: usize) -> Option<Large> {
        let pages = size.max(1).div_ceil(PAGE_BYTES);
        if pages > u32::MAX as usize {
            return None;
        }
        let Taken { run, scavenged_pages } = self.take_run(shard, pages, align.div_ceil(PAGE_BYTES))?;
        // SAFETY: this thread has just taken the pages, and growth made metadata for their region.
        if unsafe { self.span_map.create(run, None) }.is_none() {
            self.free_run(run);
            return None;
        }
        Some(Large {
            base: pointer(run.first.address()),
            zeroed: scavenged_pages == run.pages,
            mostly_fresh: scavenged_pages >= run.pages / 2,
        })
    }

    /// The live large span that begins at `base`. Ends the process if there is none.
    fn large_span(&self, base: NonNull<u8>) -> Span {
        match self.span_map.lookup(base.addr().get()) {
            Some(span) if span.state() == STATE_LARGE && span.base() == base.addr().get() => span,
            _ => sys::fatal!(
                "large",
                "free of {:#x}, which is not an object of this heap, was freed before, or has another layout",
                base.addr()
            ),
        }
    }

    /// Frees a large block. Ends the process if no large block begins at `base`.
    pub fn deallocate_large(&self, base: NonNull<u8>) {
        let span = self.large_span(base);
        let run = span.run();
        // SAFETY: the owner gives the block back, and a large span is in no list.
        unsafe { self.span_map.retire(span) };
        self.free_run(run);
    }

    /// The bytes of a large block. Ends the process if no large block begins at `base`.
    #[cfg(serves_c)]
    pub fn large_bytes(&self, base: NonNull<u8>) -> usize {
        self.large_span(base).run().bytes()
    }

    /// Makes a large block fit `size` bytes at its place. `false` if the block would have to move.
    pub fn resize_large(&self, base: NonNull<u8>, size: usize) -> bool {
        let span = self.large_span(base);
        let run = span.run();
        let pages = size.max(1).div_ceil(PAGE_BYTES);
        if pages > u32::MAX as usize {
            return false;
        }
        if pages > run.pages && self.take_following(run, pages - run.pages).is_none() {
            return false;
        }
        // SAFETY: the caller owns the block, and this thread has just taken the pages that are added.
        unsafe { span.set_pages(pages) };
        if pages < run.pages {
            self.free_run(Run { first: run.first.plus(pages), pages: run.pages - pages });
        }
        true
    }

    /// Moves the first `used` bytes of a large block to a new block, and frees the old block.
    pub fn move_large(&self, base: NonNull<u8>, used: usize, to: &Large) {
        let old = self.large_span(base).run();
        let new = to.base;
        let whole =
            used / PAGE_BYTES.max(self.accounts.os_page_bytes()) * PAGE_BYTES.max(self.accounts.os_page_bytes());
        let mut moved = 0;
        // SAFETY: the caller owns both blocks. They do not overlap, and each has at least `whole` bytes.
        if to.mostly_fresh && whole >= MOVE_PAGES_BYTES && unsafe { sys::vm::move_pages(base, whole, new) } {
            moved = whole;
        }
        // SAFETY: as above for `used` bytes. The copy may read bytes that the caller never wrote: they are bytes of mapped
        // memory.
        unsafe { core::ptr::copy_nonoverlapping(base.as_ptr().add(moved), new.as_ptr().add(moved), used - moved) };
        if moved == 0 {
            self.deallocate_large(base);
        } else {
            let moved_pages = moved / PAGE_BYTES;
            let moved_to = Run { first: Page::containing(new.addr().get()), pages: moved_pages };
            self.huge_pages_moved(Run { first: old.first, pages: moved_pages }, moved_to);
            let span = self.large_span(base);
            // SAFETY: the owner gives the block back, and a large span is in no list.
            unsafe { self.span_map.retire(span) };
            self.free_released_run(Run { first: old.first, pages: moved_pages });
            if old.pages > moved_pages {
                self.free_run(Run { first: Page(old.first.0 + moved_pages), pages: old.pages - moved_pages });
            }
        }
    }
}
