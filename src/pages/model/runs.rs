//! The model's operations on runs: taking, freeing, misuse and growth.
//!
//! Locks: none.

use crate::units::{CHUNK_PAGES, Run};

use super::place::{CHUNKS, NEAR_CHUNKS, PAGES, page, place};
use super::{Model, State, choose, empty_slot};
use crate::pages::{FaultKind, Taken};

impl Model<'_> {
    pub(super) fn alloc(&mut self, pages: usize) {
        let expected = (pages > 0).then(|| self.first_fit(pages, 1)).flatten();
        let taken = self.pages.alloc(pages);
        self.took(expected, pages, taken);
    }

    pub(super) fn alloc_aligned(&mut self, pages: usize, align: usize) {
        let expected = (pages > 0).then(|| self.first_fit(pages, align)).flatten();
        let taken = self.pages.alloc_aligned(pages, align);
        self.took(expected, pages, taken);
    }

    pub(super) fn alloc_above(&mut self, floor: usize, pages: usize) {
        if self.states[floor] == State::Unmapped {
            return;
        }
        let expected = (pages > 0).then(|| self.first_fit_from(floor, pages, 1)).flatten();
        let taken = self.pages.alloc_above(page(floor), pages);
        self.took(expected, pages, taken);
    }

    pub(super) fn alloc_exact(&mut self, at: usize, pages: usize) {
        let is_free =
            at + pages <= PAGES && pages > 0 && self.states[at..at + pages].iter().all(|state| state.is_free());
        let taken = self.pages.alloc_exact(Run { first: page(at), pages });
        self.took(is_free.then_some(at), pages, taken);
    }

    pub(super) fn extend(&mut self, which: usize, pages: usize) {
        let Some(slot) = choose(&self.runs, which) else { return };
        let (at, had) = self.runs[slot].expect("the slot is filled");
        if at + had < PAGES {
            self.alloc_exact(at + had, pages);
        }
    }

    pub(super) fn free(&mut self, which: usize) {
        let Some(slot) = choose(&self.runs, which) else { return };
        let (at, pages) = self.runs[slot].take().expect("the slot is filled");
        self.pages.free(Run { first: page(at), pages }).expect("the run is in use");
        self.states[at..at + pages].fill(State::Retained);
    }

    pub(super) fn free_scavenged(&mut self, which: usize) {
        let Some(slot) = choose(&self.runs, which) else { return };
        let (at, pages) = self.runs[slot].take().expect("the slot is filled");
        self.pages.free_scavenged(Run { first: page(at), pages }).expect("the run is in use");
        self.states[at..at + pages].fill(State::Released);
    }

    pub(super) fn free_part(&mut self, which: usize, from: usize, pages: usize) {
        let (Some(slot), Some(upper)) = (choose(&self.runs, which), empty_slot(&self.runs)) else { return };
        let (at, had) = self.runs[slot].expect("the slot is filled");
        let from = from % had;
        let pages = pages.min(had - from);
        self.pages.free(Run { first: page(at + from), pages }).expect("part of a run in use");
        self.states[at + from..at + from + pages].fill(State::Retained);
        self.runs[slot] = (from > 0).then_some((at, from));
        let rest = had - from - pages;
        self.runs[upper] = (rest > 0).then_some((at + from + pages, rest));
    }

    pub(super) fn misuse(&mut self, at: usize, pages: usize) {
        let end = (at + pages).min(PAGES);
        let Some(bad) = (at..end).find(|&at| self.states[at] != State::Taken) else { return };
        let fault = self.pages.free(Run { first: page(at), pages: end - at }).expect_err("a page of it is not in use");
        let kind = if self.states[bad] == State::Unmapped { FaultKind::NotMapped } else { FaultKind::DoubleFree };
        assert_eq!((fault.kind, fault.page), (kind, page(bad)));
    }

    pub(super) fn grow(&mut self, chunk: usize, chunks: usize) {
        // Growth does not cross the gap, and the chunk below the gap stays unmapped.
        let end = if chunk < NEAR_CHUNKS { NEAR_CHUNKS - 1 } else { CHUNKS };
        let chunks = chunks.min(end - chunk.min(end));
        if chunks == 0 {
            return;
        }
        let (from, to) = (chunk * CHUNK_PAGES, (chunk + chunks) * CHUNK_PAGES);
        let run = Run { first: page(from), pages: to - from };
        if let Some(mapped) = (from..to).find(|&at| self.states[at] != State::Unmapped) {
            let roots =
                (chunk..chunk + chunks).all(|chunk| self.pages.has_root(page(chunk * CHUNK_PAGES).chunk().root()));
            let fault = self.pages.grow(run).expect_err("part of it is mapped");
            assert!(!roots || (fault.kind, fault.page) == (FaultKind::AlreadyMapped, page(mapped)));
            return;
        }
        for chunk in chunk..chunk + chunks {
            let root = page(chunk * CHUNK_PAGES).chunk().root();
            if !self.pages.has_root(root) {
                self.pages.add_root(root, (self.supply)()).expect("the entry has none");
            }
        }
        self.pages.grow(run).expect("the chunks are not mapped");
        self.states[from..to].fill(State::Released);
    }

    /// The place of the lowest aligned run of free pages.
    fn first_fit(&self, pages: usize, align: usize) -> Option<usize> {
        self.first_fit_from(0, pages, align)
    }

    /// The place of the lowest aligned run of free pages at or above a place.
    fn first_fit_from(&self, mut at: usize, pages: usize, align: usize) -> Option<usize> {
        while at + pages <= PAGES {
            if page(at).0 % align != 0 {
                at += 1;
                continue;
            }
            match self.states[at..at + pages].iter().rposition(|state| !state.is_free()) {
                None => return Some(at),
                Some(blocker) => at += blocker + 1,
            }
        }
        None
    }

    /// The allocator answered `taken` where the model expects the run at `expected`.
    fn took(&mut self, expected: Option<usize>, pages: usize, taken: Option<Taken>) {
        let expected = expected.map(|at| {
            let scavenged_pages = self.states[at..at + pages].iter().filter(|&&state| state == State::Released).count();
            Taken { run: Run { first: page(at), pages }, scavenged_pages }
        });
        assert_eq!(taken, expected);
        let Some(taken) = taken else { return };
        let at = place(taken.run.first);
        self.states[at..at + pages].fill(State::Taken);
        match empty_slot(&self.runs) {
            Some(slot) => self.runs[slot] = Some((at, pages)),
            None => {
                self.pages.free(taken.run).expect("it was just taken");
                self.states[at..at + pages].fill(State::Retained);
            }
        }
    }
}
