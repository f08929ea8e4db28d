//! What a node of the tree knows about the free runs below it, packed into one word.
//!
//! Three fields of 21 bits: the free run at the start, the longest anywhere, the one at the end. 2^21 pages are what a
//! root entry covers, one more than 21 bits can say: an entirely free root is bit 63 alone. Only the root level can
//! hold that value, so the nodes below are read without looking at the bit. Zero means "no free page", which is what
//! memory that was never written says.
//!
//! Locks: none.
#![forbid(unsafe_code)]

use crate::units::{LEVEL_BITS, ROOT_PAGES_SHIFT};

/// Children of a node.
pub(super) const FANOUT: usize = 1 << LEVEL_BITS;

const FIELD_BITS: u32 = 21;
const FIELD: u64 = (1 << FIELD_BITS) - 1;
const ALL_FREE: u64 = 1 << 63;

const _: () = assert!(ROOT_PAGES_SHIFT <= FIELD_BITS, "a root entry's pages fit the fields, or bit 63");

/// The start, longest and end free runs under a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct Summary(u64);

/// The children of one node: a cache line.
pub(super) type Group = [Summary; FANOUT];

impl Summary {
    /// No free page.
    pub(super) const FULL: Self = Self(0);

    #[inline]
    pub(super) const fn new(start: usize, max: usize, end: usize) -> Self {
        debug_assert!(start <= max && end <= max && max <= 1 << FIELD_BITS);
        if max == 1 << FIELD_BITS {
            return Self(ALL_FREE);
        }
        Self(start as u64 | (max as u64) << FIELD_BITS | (end as u64) << (2 * FIELD_BITS))
    }

    /// Every one of `pages` pages is free.
    #[inline]
    pub(super) const fn free(pages: usize) -> Self {
        Self::new(pages, pages, pages)
    }

    /// (start, longest, end) for a node below the root level.
    #[inline]
    pub(super) const fn fields(self) -> (usize, usize, usize) {
        debug_assert!(self.0 & ALL_FREE == 0);
        (
            (self.0 & FIELD) as usize,
            (self.0 >> FIELD_BITS & FIELD) as usize,
            (self.0 >> (2 * FIELD_BITS) & FIELD) as usize,
        )
    }

    /// (start, longest, end) for an entry of the root level, which may be entirely free.
    #[inline]
    pub(super) const fn root_fields(self) -> (usize, usize, usize) {
        if self.0 & ALL_FREE != 0 {
            let all = 1 << FIELD_BITS;
            return (all, all, all);
        }
        self.fields()
    }

    /// The summary of the node above `children`, each of which covers `child_pages`.
    #[inline]
    pub(super) const fn merge(children: &Group, child_pages: usize) -> Self {
        let (mut start, mut max, mut end) = (0, 0, 0);
        let mut below = 0;
        let mut i = 0;
        while i < FANOUT {
            let (child_start, child_max, child_end) = children[i].fields();
            // Everything below is free exactly if the run at the start has come this far.
            start += if start == below { child_start } else { 0 };
            let across = end + child_start;
            max = if across > max { across } else { max };
            max = if child_max > max { child_max } else { max };
            end = if child_end == child_pages { end + child_pages } else { child_end };
            below += child_pages;
            i += 1;
        }
        Self::new(start, max, end)
    }
}
