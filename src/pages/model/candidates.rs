//! The model's operations on what is to be released: the search for it, and the way back.
//!
//! Locks: none.

use crate::units::{CHUNK_PAGES, Run};

use super::place::{page, place};
use super::{Model, State, choose, empty_slot};

impl Model<'_> {
    pub(super) fn alloc_candidate(&mut self, chunk: usize, from: usize, min: u32, max: usize, huge: u32) {
        let Some(slot) = empty_slot(&self.in_flight) else { return };
        let (min, huge) = (1 << min, 1 << huge);
        let candidate = self.pages.alloc_candidate(page(chunk * CHUNK_PAGES).chunk(), from, min, max, huge);
        let base = chunk * CHUNK_PAGES;
        let retained = |at: usize, pages: usize| {
            self.states[base + at..base + at + pages].iter().all(|&state| state == State::Retained)
        };
        let whole = huge > min && retained(from / huge * huge, huge);
        let limit = if whole { from / huge * huge + huge } else { from / min * min + min };
        let highest = (0..limit / min).rev().find(|group| retained(group * min, min));
        let Some(run) = candidate.run else {
            assert_eq!(highest, None);
            assert!(!candidate.more_below);
            return;
        };
        let at = place(run.first) - base;
        assert_eq!(Some(at + run.pages - min), highest.map(|group| group * min));
        assert!(retained(at, run.pages) && at % min == 0 && run.pages % min == 0);
        let cut = max.max(min).next_multiple_of(min);
        // Longer than asked for only down to the start of a whole huge page, shorter only where there is no more.
        assert!(run.pages <= cut || (huge > min && at % huge == 0 && at + run.pages - cut < at + huge));
        assert!(run.pages >= cut || at == 0 || !retained(at - min, min));
        for first in (0..CHUNK_PAGES).step_by(huge).filter(|_| huge > min) {
            let broken = first < at && at < first + huge || first < at + run.pages && at + run.pages < first + huge;
            assert!(!(broken && retained(first, huge)), "a whole huge page stays whole");
        }
        assert_eq!(candidate.more_below, (0..at / min).any(|group| retained(group * min, min)));
        self.states[base + at..base + at + run.pages].fill(State::Taken);
        self.in_flight[slot] = Some((base + at, run.pages));
    }

    pub(super) fn released(&mut self, which: usize) {
        let Some(slot) = choose(&self.in_flight, which) else { return };
        let (at, pages) = self.in_flight[slot].take().expect("the slot is filled");
        self.pages.free_scavenged(Run { first: page(at), pages }).expect("it is in flight");
        self.states[at..at + pages].fill(State::Released);
    }
}
