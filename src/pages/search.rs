//! Address-ordered first fit: the lowest run of a given length at or above a given page.
//!
//! The walk goes one way. It starts in the chunk of the given page, passes the chunk's later siblings, then its parent's
//! later siblings, and so on up, so a fit nearby is found nearby whatever the size of the heap. The walk goes down only into
//! a node whose summary promises a fit. It always knows the length of the free run that ends where it stands, so it finds
//! runs across chunks, nodes and roots like any other.
//!
//! Locks: none; the caller holds the heap lock. The search reads no summary of an unmapped root. It changes nothing, but the
//! table propagates its pending change before the search leaves the first chunk.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, Chunk, LEVEL_BITS, Page, ROOT_PAGES_SHIFT, Run};

use super::root::{LEVEL1_PAGES, LEVEL2_PAGES, LEVEL3_PAGES, PAGE_IN_ROOT, Root};
use super::summary::{FANOUT, Group};
use super::table::{ROOT_PAGES, RootTable};

/// Masks a node's number to its place among its siblings.
const CHILD: usize = FANOUT - 1;

/// Where the walk stands.
struct Walk {
    /// The length looked for, in pages.
    wanted: usize,
    /// The next page to look at.
    at: usize,
    /// The length of the free run that ends just below `at`.
    tail: usize,
}

/// What a node (or a group of siblings) offers.
enum Step {
    /// No run that starts here fits. The walk stands behind the node.
    Passed,
    /// The run starts at this page.
    Found(Page),
    /// A fit lies inside this child. The walk stands at the child's first page.
    Inside(usize),
}

impl Walk {
    /// Looks at a node of `span` pages that starts where the walk stands.
    #[inline]
    fn pass(&mut self, (start, max, end): (usize, usize, usize), span: usize) -> Step {
        if self.tail + start >= self.wanted {
            return Step::Found(Page(self.at - self.tail));
        }
        if max >= self.wanted {
            return Step::Inside(0);
        }
        self.tail = if end == span { self.tail + span } else { end };
        self.at += span;
        Step::Passed
    }

    /// Looks at the siblings from number `from` on.
    #[inline]
    fn pass_group(&mut self, group: &Group, from: usize, span: usize) -> Step {
        for (child, summary) in group.iter().enumerate().skip(from) {
            match self.pass(summary.fields(), span) {
                Step::Passed => {}
                Step::Found(page) => return Step::Found(page),
                Step::Inside(_) => return Step::Inside(child),
            }
        }
        Step::Passed
    }

    /// The fit inside a chunk whose summary promises one.
    #[inline]
    fn in_chunk(&self, root: &Root, chunk: usize) -> Option<Page> {
        Some(Page(self.at + root.bits(chunk).find(0, self.wanted)?))
    }

    /// Looks at a group of leaves from child `from` on. `Err` ends the walk with the run it found. The functions for the other
    /// levels do the same for their groups, and go down into the child that promises a fit.
    fn in_leaves(&mut self, root: &Root, group: usize, from: usize) -> Result<(), Option<Page>> {
        match self.pass_group(&root.leaves[group & (FANOUT * FANOUT * FANOUT - 1)], from, CHUNK_PAGES) {
            Step::Passed => Ok(()),
            Step::Found(page) => Err(Some(page)),
            Step::Inside(child) => Err(self.in_chunk(root, group * FANOUT + child)),
        }
    }

    fn in_level3(&mut self, root: &Root, group: usize, from: usize) -> Result<(), Option<Page>> {
        match self.pass_group(&root.level3[group & (FANOUT * FANOUT - 1)], from, LEVEL3_PAGES) {
            Step::Passed => Ok(()),
            Step::Found(page) => Err(Some(page)),
            Step::Inside(child) => self.in_leaves(root, group * FANOUT + child, 0),
        }
    }

    fn in_level2(&mut self, root: &Root, group: usize, from: usize) -> Result<(), Option<Page>> {
        match self.pass_group(&root.level2[group & CHILD], from, LEVEL2_PAGES) {
            Step::Passed => Ok(()),
            Step::Found(page) => Err(Some(page)),
            Step::Inside(child) => self.in_level3(root, group * FANOUT + child, 0),
        }
    }

    fn in_level1(&mut self, root: &Root, from: usize) -> Result<(), Option<Page>> {
        match self.pass_group(&root.level1, from, LEVEL1_PAGES) {
            Step::Passed => Ok(()),
            Step::Found(page) => Err(Some(page)),
            Step::Inside(child) => self.in_level2(root, child, 0),
        }
    }

    /// Looks at the rest of a chunk from the page where the walk stands.
    #[inline]
    fn rest_of_chunk(&mut self, root: &Root) -> Option<Page> {
        let page = Page(self.at);
        let chunk = page.chunk().index_in_root();
        let from = page.index_in_chunk();
        let (_, max, end) = root.leaf(chunk).fields();
        if max >= self.wanted {
            if let Some(found) = root.bits(chunk).find(from, self.wanted) {
                return Some(Page(self.at - from + found));
            }
        }
        self.at += CHUNK_PAGES - from;
        self.tail = end.min(CHUNK_PAGES - from);
        None
    }

    /// Looks at what follows a chunk under its root, and goes up as far as necessary. `Err` ends the walk.
    fn later_chunks(&mut self, root: &Root, chunk: usize) -> Result<(), Option<Page>> {
        let mut node = chunk;
        self.in_leaves(root, node >> LEVEL_BITS, (node & CHILD) + 1)?;
        node >>= LEVEL_BITS;
        self.in_level3(root, node >> LEVEL_BITS, (node & CHILD) + 1)?;
        node >>= LEVEL_BITS;
        self.in_level2(root, node >> LEVEL_BITS, (node & CHILD) + 1)?;
        node >>= LEVEL_BITS;
        self.in_level1(root, (node & CHILD) + 1)
    }
}

impl RootTable {
    /// The start of the lowest run of `pages` free pages that starts at or above `from`, a page of a mapped chunk.
    /// `end` is the first chunk above all mapped ones.
    #[inline]
    pub(super) fn first_fit(&mut self, from: Page, pages: usize, end: Chunk) -> Option<Page> {
        let mut walk = Walk { wanted: pages, at: from.0, tail: 0 };
        if let Some(found) = walk.rest_of_chunk(self.root(from.chunk().root())?) {
            return Some(found);
        }
        self.beyond_chunk(walk, from.chunk(), end)
    }

    #[inline(never)]
    fn beyond_chunk(&mut self, mut walk: Walk, chunk: Chunk, end: Chunk) -> Option<Page> {
        self.propagate();
        if let Err(end) = walk.later_chunks(self.root(chunk.root())?, chunk.index_in_root()) {
            return end;
        }
        self.later_roots(walk, chunk.root() + 1, end)
    }

    fn later_roots(&self, mut walk: Walk, mut root: usize, end: Chunk) -> Option<Page> {
        // A root above the last mapped chunk offers nothing.
        while root << ROOT_PAGES_SHIFT < end.first_page().0 {
            let mapped = self.next_mapped_root(root)?;
            if mapped != root {
                root = mapped;
                walk.at = root << ROOT_PAGES_SHIFT;
                walk.tail = 0;
            }
            match walk.pass(self.summaries.get(root)?.root_fields(), ROOT_PAGES) {
                Step::Passed => root += 1,
                Step::Found(page) => return Some(page),
                Step::Inside(_) => return walk.in_level1(self.root(root)?, 0).err().flatten(),
            }
        }
        None
    }

    /// The lowest run of `pages` free pages at or above `from` whose first page is a multiple of `align`.
    ///
    /// Each round either ends or steps over a page in use, so the search looks at no page between two starts twice.
    pub(super) fn first_aligned_fit(&mut self, mut from: Page, pages: usize, align: usize, end: Chunk) -> Option<Page> {
        loop {
            let start = self.first_fit(from, pages, end)?;
            let first = Page(start.0.checked_next_multiple_of(align)?);
            let Some(blocker) = self.last_in_use(Run { first, pages }) else {
                return Some(first);
            };
            // The run cannot start before the blocker. `from` must be mapped.
            from = self.mapped_at_or_above(blocker.plus(1))?;
        }
    }

    /// The highest page of the run that is not free. A page that is not mapped counts as not free.
    fn last_in_use(&self, run: Run) -> Option<Page> {
        let mut last = None;
        for part in run.by_chunk() {
            let from = part.first.index_in_chunk();
            let found = match self.bits(part.first.chunk()) {
                Some(bits) => bits.last_in_use(from, part.pages),
                None => Some(from + part.pages - 1),
            };
            if let Some(found) = found {
                last = Some(part.first.plus(found - from));
            }
        }
        last
    }

    /// `page` if it is mapped, else the first mapped page above it.
    pub(super) fn mapped_at_or_above(&self, page: Page) -> Option<Page> {
        if self.is_mapped(page.chunk()) {
            return Some(page);
        }
        Some(self.next_mapped_chunk(page.chunk())?.first_page())
    }
}

const _: () = assert!(PAGE_IN_ROOT == ROOT_PAGES - 1);
