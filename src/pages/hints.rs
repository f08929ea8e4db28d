//! Search addresses: below which page a run of a given size need not be looked for.
//!
//! The original keeps one, the lowest free page. A heap with one stray free page at its bottom then starts every search
//! for a long run there. We keep one for each of a few sizes: for `SIZES[i]`, no free run of at least that many pages starts
//! below `pages[i]`.
//!
//! They are kept as complements, so that zero, the state of memory that was never written, means "no such run at all".
//!
//! Locks: none; the caller holds the heap lock.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, Page, Run};

/// The lengths of run that have a search address of their own, ascending. The first must be 1.
pub(super) const SIZES: [usize; 5] = [1, 2, 4, 16, 64];

/// The longest of them.
pub(super) const LONGEST: usize = SIZES[SIZES.len() - 1];

const _: () = assert!(SIZES[0] == 1 && LONGEST <= CHUNK_PAGES);

/// The search addresses.
#[derive(Debug)]
pub(super) struct Hints {
    /// The complement of a page number; zero where no run of the size is left.
    below: [usize; SIZES.len()],
}

impl Hints {
    pub(super) const fn new() -> Self {
        Self { below: [0; SIZES.len()] }
    }

    /// From where to search for a run of `pages`; `None` if there is none.
    #[inline]
    pub(super) fn start(&self, pages: usize) -> Option<Page> {
        let mut below = self.below[0];
        for (hint, size) in self.below.iter().zip(SIZES) {
            // A run of `pages` is also a run of every smaller size, so the highest of those addresses counts.
            below = if size <= pages { below.min(*hint) } else { below };
        }
        if below == 0 { None } else { Some(Page(!below)) }
    }

    /// A first fit for `run.pages` ended at this run, and it has been taken.
    #[inline]
    pub(super) fn taken(&mut self, run: Run) {
        let end = !run.end().0;
        for (hint, size) in self.below.iter_mut().zip(SIZES) {
            // Either no run of this size starts below the one that was found, because it would have been found; or the
            // search address lies in what was taken.
            if size >= run.pages || !*hint >= run.first.0 {
                *hint = (*hint).min(end);
            }
        }
    }

    /// The lowest free page, at `block.first`, has been taken with all free pages up to the end of the block.
    pub(super) fn block_taken(&mut self, block: Run) {
        for hint in &mut self.below {
            *hint = (*hint).min(!block.end().0);
        }
    }

    /// There is no free run of `pages` at all.
    #[inline]
    pub(super) fn exhausted(&mut self, pages: usize) {
        for (hint, size) in self.below.iter_mut().zip(SIZES) {
            if size >= pages {
                *hint = 0;
            }
        }
    }

    /// A run has become free. `floor` is a page at or below its first such that everything between is mapped; no farther
    /// than that may an address go down.
    #[inline]
    pub(super) fn freed(&mut self, run: Run, floor: Page) {
        for (hint, size) in self.below.iter_mut().zip(SIZES) {
            // What was free just below and too short to count may count now that it is joined: at most `size - 1` pages.
            let start = run.first.0.saturating_sub(size - 1).max(floor.0);
            *hint = (*hint).max(!start);
        }
    }

    /// Moves each address that is not mapped up to the next page that is.
    pub(super) fn keep_mapped(&mut self, mut mapped_at_or_above: impl FnMut(Page) -> Option<Page>) {
        for hint in &mut self.below {
            if *hint != 0 {
                *hint = mapped_at_or_above(Page(!*hint)).map_or(0, |page| !page.0);
            }
        }
    }

    /// The address of each size.
    #[cfg(any(test, feature = "internals"))]
    pub(super) fn all(&self) -> [(usize, Option<Page>); SIZES.len()] {
        core::array::from_fn(|i| (SIZES[i], if self.below[i] == 0 { None } else { Some(Page(!self.below[i])) }))
    }
}
