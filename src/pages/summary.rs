//! What a node of the tree knows about the free runs below it, packed into one word.
//!
//! A summary has three fields of 21 bits: the length of the free run at the start, of the longest one anywhere, and of the
//! one at the end. A root entry covers 2^21 pages, one more than 21 bits can say, so bit 63 alone stands for an entirely
//! free root. Only the root level can hold this value, so nodes below the root level are read without a look at the bit.
//! Zero means "no free page", which is what memory that was never written says.
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
            // All children so far are wholly free exactly if the run at the start has come this far.
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

    /// The longest run under the node above `children`.
    #[inline(never)]
    fn longest(children: &Group, child_pages: usize) -> usize {
        let any = children.iter().fold(0, |any, child| any | child.0);
        if any & !(FIELD << FIELD_BITS) == 0 {
            // No run reaches an end of its child. So each word holds nothing but the length of its longest run.
            let max = children.iter().fold(0, |max, child| if child.0 > max { child.0 } else { max });
            return (max >> FIELD_BITS) as usize;
        }
        Self::merge(children, child_pages).root_fields().1
    }

    /// The new summary of a parent, whose summary this was while child number `i` was `old`. Equal to
    /// [`merge`](Self::merge), but looks at the other children only where they matter.
    #[inline]
    pub(super) fn merge_one(self, children: &Group, i: usize, old: Self, child_pages: usize) -> Self {
        let (start, max, end) = self.root_fields();
        let (old_start, old_max, old_end) = old.fields();
        let (new_start, new_max, new_end) = children[i & (FANOUT - 1)].fields();
        if new_start == old_start && new_end == old_end && old_max < max && new_max <= max {
            // The runs that reach other children are as they were, and a run elsewhere was the longest and still is.
            return self;
        }
        // The pages of the siblings below and above, and the lengths of the free runs that reach the child from there. If the
        // parent's run at the same end covers all these siblings, its length says so without a look at them.
        let below = i * child_pages;
        let above = (FANOUT - 1 - i) * child_pages;
        let left = if start >= below { below } else { free_below(children, i, child_pages) };
        let right = if end >= above { above } else { free_above(children, i, child_pages) };
        // The longest run with pages of the child in it.
        let longest = |start: usize, max: usize, end: usize| {
            if start == child_pages { left + child_pages + right } else { max.max(left + start).max(end + right) }
        };
        let old_longest = longest(old_start, old_max, old_end);
        let new_longest = longest(new_start, new_max, new_end);
        let new_max = if new_longest >= max {
            new_longest
        } else if old_longest < max {
            max
        } else if new_longest * 2 >= FANOUT * child_pages {
            // Any other run is shorter.
            new_longest
        } else {
            Self::longest(children, child_pages)
        };
        let whole = new_start == child_pages;
        let from_start = below + if whole { child_pages + right } else { new_start };
        let from_end = above + if whole { child_pages + left } else { new_end };
        Self::new(if start >= below { from_start } else { start }, new_max, if end >= above { from_end } else { end })
    }
}

/// The length of the free run in the lower siblings of child `i` that reaches up to the child.
#[inline]
fn free_below(children: &Group, i: usize, child_pages: usize) -> usize {
    let next = if i == 0 { 0 } else { children[(i - 1) & (FANOUT - 1)].fields().2 };
    if next == child_pages && i > 1 { next + farther_below(children, i - 1, child_pages) } else { next }
}

#[cold]
fn farther_below(children: &Group, i: usize, child_pages: usize) -> usize {
    free_below(children, i, child_pages)
}

/// The length of the free run in the upper siblings of child `i` that reaches down to the child.
#[inline]
fn free_above(children: &Group, i: usize, child_pages: usize) -> usize {
    let next = if i == FANOUT - 1 { 0 } else { children[(i + 1) & (FANOUT - 1)].fields().0 };
    if next == child_pages && i < FANOUT - 2 { next + farther_above(children, i + 1, child_pages) } else { next }
}

#[cold]
fn farther_above(children: &Group, i: usize, child_pages: usize) -> usize {
    free_above(children, i, child_pages)
}
