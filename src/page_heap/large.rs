//! Large objects: spans of their own.
//!
//! A freed large block's pages are retained, so reusing it costs no system call. Growth takes the pages that follow where
//! they are free; shrinking gives the tail back; a really large object that must move to a place that is not backed has
//! its page tables moved (`mremap`). Where the new place is backed, a move would throw its pages away and leave the old
//! place to be faulted in again: copying costs a third of that (growing vectors of up to 8 MiB, four at a time). A move also
//! splits the huge pages at both places, so that a block of less than 16 MiB is copied in any case: with moves from 1 MiB on
//! those vectors took a quarter longer, and had thirty times the faults.
//!
//! Locks: heap, for one operation at a time.

use core::ptr::NonNull;

use crate::pages::Taken;
use crate::span::{STATE_LARGE, Span};
use crate::sys;
use crate::units::{PAGE_BYTES, Page, Run};

use super::PageHeaps;
use super::arena::pointer;

/// From here on moving page tables beats copying to fresh memory.
const MOVE_PAGES_BYTES: usize = 16 << 20;

/// A large block of memory.
pub struct Large {
    /// Its first byte.
    pub base: NonNull<u8>,
    /// Whether all of it reads as zero.
    pub zeroed: bool,
    /// Whether at least half of it is not backed.
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
        // SAFETY: the pages were just taken, and growth made metadata for them.
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

    /// The live large span that begins at `base`; ends the process where there is none.
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

    /// Frees a large block.
    pub fn deallocate_large(&self, base: NonNull<u8>) {
        let span = self.large_span(base);
        let run = span.run();
        // SAFETY: the block's owner gives it back; large spans are in no list.
        unsafe { self.span_map.retire(span) };
        self.free_run(run);
    }

    /// The bytes of a large block; ends the process where there is none.
    #[cfg(serves_c)]
    pub fn large_bytes(&self, base: NonNull<u8>) -> usize {
        self.large_span(base).run().bytes()
    }

    /// Makes a large block fit `size` bytes where it is; `false` if it would have to move.
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
        // SAFETY: the caller owns the block, and the pages that are added.
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
        // SAFETY: both blocks are the caller's, they do not overlap and are as long as that.
        if to.mostly_fresh && whole >= MOVE_PAGES_BYTES && unsafe { sys::vm::move_pages(base, whole, new) } {
            moved = whole;
        }
        // SAFETY: as above; `used` bytes of the old block are initialised as far as the caller wrote them.
        unsafe { core::ptr::copy_nonoverlapping(base.as_ptr().add(moved), new.as_ptr().add(moved), used - moved) };
        if moved == 0 {
            self.deallocate_large(base);
        } else {
            let moved_pages = moved / PAGE_BYTES;
            let moved_to = Run { first: Page::containing(new.addr().get()), pages: moved_pages };
            self.huge_pages_moved(Run { first: old.first, pages: moved_pages }, moved_to);
            let span = self.large_span(base);
            // SAFETY: the block's owner gives it back.
            unsafe { self.span_map.retire(span) };
            self.free_released_run(Run { first: old.first, pages: moved_pages });
            if old.pages > moved_pages {
                self.free_run(Run { first: Page(old.first.0 + moved_pages), pages: old.pages - moved_pages });
            }
        }
    }
}
