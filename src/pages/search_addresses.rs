//! Search addresses: below such an address no run of a given size needs to be looked for.
//!
//! Go's page allocator keeps one search address, the lowest free page. In a heap with one stray free page at the bottom,
//! every search for a long run then starts at the stray page. This module keeps one address for each of a few sizes: no
//! free run of at least `SIZES[i]` pages starts below address `i`.
//!
//! The addresses are stored as complements, so zero, the state of memory that was never written, means "no such run".
//!
//! Locks: none; the caller holds the heap lock.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, Page, Run};

/// The run lengths that have a search address of their own, ascending. The first must be 1.
pub(super) const SIZES: [usize; 5] = [1, 2, 4, 16, 64];

/// The longest of them.
pub(super) const LONGEST: usize = SIZES[SIZES.len() - 1];

const _: () = assert!(SIZES[0] == 1 && LONGEST <= CHUNK_PAGES);

/// The search addresses.
#[derive(Debug)]
pub(super) struct SearchAddresses {
    /// The complement of each address; zero where no run of the size is left.
    complements: [usize; SIZES.len()],
}

impl SearchAddresses {
    pub(super) const fn new() -> Self {
        Self { complements: [0; SIZES.len()] }
    }

    /// Where a search for a run of `pages` starts; `None` if there is no such run.
    #[inline]
    pub(super) fn start(&self, pages: usize) -> Option<Page> {
        let mut start = self.complements[0];
        for (complement, size) in self.complements.iter().zip(SIZES) {
            // A run of `pages` is also a run of every smaller size, so the highest address of these sizes counts.
            start = if size <= pages { start.min(*complement) } else { start };
        }
        if start == 0 { None } else { Some(Page(!start)) }
    }

    /// A first fit for `run.pages` has found this run, and the run has been taken.
    #[inline]
    pub(super) fn taken(&mut self, run: Run) {
        let end = !run.end().0;
        for (complement, size) in self.complements.iter_mut().zip(SIZES) {
            // The address may move behind the run in two cases. Either no run of this size starts below the run, because
            // first fit would have found it. Or the address is not below the start of the run anyway.
            if size >= run.pages || !*complement >= run.first.0 {
                *complement = (*complement).min(end);
            }
        }
    }

    /// The lowest free page, at `block.first`, has been taken with all free pages up to the end of the block.
    pub(super) fn block_taken(&mut self, block: Run) {
        for complement in &mut self.complements {
            *complement = (*complement).min(!block.end().0);
        }
    }

    /// There is no free run of `pages` anywhere.
    #[inline]
    pub(super) fn exhausted(&mut self, pages: usize) {
        for (complement, size) in self.complements.iter_mut().zip(SIZES) {
            if size >= pages {
                *complement = 0;
            }
        }
    }

    /// A run has become free. Addresses go down to `floor` at most. Everything between `floor` and the run is mapped.
    #[inline]
    pub(super) fn freed(&mut self, run: Run, floor: Page) {
        for (complement, size) in self.complements.iter_mut().zip(SIZES) {
            // Up to `size - 1` free pages just below were too short to count. Now they are part of a longer run.
            let start = run.first.0.saturating_sub(size - 1).max(floor.0);
            *complement = (*complement).max(!start);
        }
    }

    /// Moves each address that is not mapped up to the next mapped page.
    pub(super) fn keep_mapped(&mut self, mut mapped_at_or_above: impl FnMut(Page) -> Option<Page>) {
        for complement in &mut self.complements {
            if *complement != 0 {
                *complement = mapped_at_or_above(Page(!*complement)).map_or(0, |page| !page.0);
            }
        }
    }

    /// The address of each size; `None` where no run of the size is left.
    #[cfg(any(test, feature = "internals"))]
    pub(super) fn addresses(&self) -> [Option<Page>; SIZES.len()] {
        self.complements.map(|complement| (complement != 0).then_some(Page(!complement)))
    }
}
