//! Operations on a page allocator next to a naive model of it: one state a page, every search a scan.
//!
//! Property tests and fuzzing run this same interpreter: eight bytes are an operation, so any bytes are a program. After
//! each step the allocator's answer, its bits and its own consistency are checked, and a difference panics. Test builds only.
//!
//! The model's pages lie around the border of two root entries, and a few at the bottom of a third with whole unmapped roots in
//! between, so that every kind of neighbourhood comes up.
//!
//! Locks: none. Allocates nothing: the caller supplies the large parts.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, Chunk, Page, ROOT_CHUNKS, Run};

use super::allocator::{PageAllocator, Taken};
use super::cache::{CACHE_PAGES, PageCache};
use super::fault::FaultKind;
pub use super::op::{OP_BYTES, Op};
use super::root::Root;
use super::table::RootTable;

/// Chunks of the model below the gap, the last of which is never mapped, and all chunks of it.
const NEAR_CHUNKS: usize = 13;
const CHUNKS: usize = 16;
const PAGES: usize = CHUNKS * CHUNK_PAGES;
/// The first chunk of either part.
const NEAR: usize = 2 * ROOT_CHUNKS - 8;
const FAR: usize = 5 * ROOT_CHUNKS;

const RUNS: usize = 96;
const CACHES: usize = 4;
const IN_FLIGHT: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unmapped,
    Retained,
    Released,
    /// In use, in a cache, or in flight.
    Taken,
}

impl State {
    fn is_free(self) -> bool {
        matches!(self, Self::Retained | Self::Released)
    }
}

/// A page allocator and its model.
pub struct Model<'a> {
    pages: PageAllocator,
    supply: &'a mut dyn FnMut() -> &'static mut Root,
    states: [State; PAGES],
    /// Runs in use, in model pages.
    runs: [Option<(usize, usize)>; RUNS],
    caches: [Option<PageCache>; CACHES],
    in_flight: [Option<(usize, usize)>; IN_FLIGHT],
}

/// The page behind a place in the model.
fn page(at: usize) -> Page {
    let chunk = at / CHUNK_PAGES;
    let first = if chunk < NEAR_CHUNKS { NEAR + chunk } else { FAR + chunk - NEAR_CHUNKS };
    Chunk(first).first_page().plus(at % CHUNK_PAGES)
}

/// The place in the model of a page.
fn place(page: Page) -> usize {
    let chunk = page.chunk().0;
    let index = if chunk < FAR { chunk - NEAR } else { chunk - FAR + NEAR_CHUNKS };
    index * CHUNK_PAGES + page.index_in_chunk()
}

fn empty_slot<T>(slots: &[Option<T>]) -> Option<usize> {
    slots.iter().position(Option::is_none)
}

/// One of the filled slots, chosen by `which`.
fn choose<T>(slots: &[Option<T>], which: usize) -> Option<usize> {
    let filled = slots.iter().flatten().count();
    slots.iter().enumerate().filter(|(_, slot)| slot.is_some()).nth(which % filled.max(1)).map(|(i, _)| i)
}

impl<'a> Model<'a> {
    /// A model with nothing mapped, of an empty table and roots that `supply` hands out empty.
    pub fn new(table: &'static mut RootTable, supply: &'a mut dyn FnMut() -> &'static mut Root) -> Self {
        let mut pages = PageAllocator::new();
        pages.attach(table).expect("the allocator is new");
        Self {
            pages,
            supply,
            states: [State::Unmapped; PAGES],
            runs: [None; RUNS],
            caches: [None; CACHES],
            in_flight: [None; IN_FLIGHT],
        }
    }

    /// Ends the model and hands the table back, its roots in it.
    pub fn into_table(mut self) -> &'static mut RootTable {
        self.pages.detach().expect("the table was attached")
    }

    /// Decodes and runs a program.
    pub fn run(&mut self, program: &[u8]) {
        for bytes in program.as_chunks().0 {
            self.step(Op::decode(*bytes));
        }
    }

    /// Runs one operation on both sides and compares everything.
    ///
    /// # Panics
    /// On any difference: that is the point.
    pub fn step(&mut self, op: Op) {
        self.apply(op);
        if let Err(difference) = self.pages.validate() {
            panic!("after {op:?}: {difference}");
        }
        self.compare(op);
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Alloc(pages) => {
                let expected = (pages > 0).then(|| self.first_fit(pages, 1)).flatten();
                let taken = self.pages.alloc(pages);
                self.took(expected, pages, taken);
            }
            Op::AllocAligned(pages, align) => {
                let expected = (pages > 0).then(|| self.first_fit(pages, 1 << align)).flatten();
                let taken = self.pages.alloc_aligned(pages, 1 << align);
                self.took(expected, pages, taken);
            }
            Op::AllocAbove(floor, pages) => self.alloc_above(floor % PAGES, pages),
            Op::AllocExact(at, pages) => self.alloc_exact(at % PAGES, pages),
            Op::Extend(which, pages) => {
                if let Some(slot) = choose(&self.runs, which) {
                    let (at, had) = self.runs[slot].expect("the slot is filled");
                    if at + had < PAGES {
                        self.alloc_exact(at + had, pages);
                    }
                }
            }
            Op::Free(which) => {
                if let Some(slot) = choose(&self.runs, which) {
                    let (at, pages) = self.runs[slot].take().expect("the slot is filled");
                    self.pages.free(Run { first: page(at), pages }).expect("the run is in use");
                    self.states[at..at + pages].fill(State::Retained);
                }
            }
            Op::FreeScavenged(which) => {
                if let Some(slot) = choose(&self.runs, which) {
                    let (at, pages) = self.runs[slot].take().expect("the slot is filled");
                    self.pages.free_scavenged(Run { first: page(at), pages }).expect("the run is in use");
                    self.states[at..at + pages].fill(State::Released);
                }
            }
            Op::FreePart(which, from, pages) => self.free_part(which, from, pages.max(1)),
            Op::Misuse(at, pages) => self.misuse(at % PAGES, pages.max(1)),
            Op::Grow(chunk, chunks) => self.grow(chunk % CHUNKS, chunks),
            Op::TakeCache => self.take_cache(),
            Op::TakeCacheAt(at, retained) => self.take_cache_at(at % PAGES / CACHE_PAGES * CACHE_PAGES, retained),
            Op::CacheAlloc(which, pages) => {
                if let (Some(slot), Some(run)) = (choose(&self.caches, which), empty_slot(&self.runs))
                    && let Some(cache) = &mut self.caches[slot]
                {
                    let before = *cache;
                    if let Some(taken) = cache.alloc(pages) {
                        let at = taken.run.first.0 - before.base.0;
                        let mask = (u64::MAX >> (64 - pages)) << at;
                        assert_eq!(before.free & mask, mask, "the run was in the cache");
                        assert_eq!(taken.scavenged_pages, (before.scavenged & mask).count_ones() as usize);
                        assert_eq!((cache.free, cache.scavenged), (before.free & !mask, before.scavenged & !mask));
                        self.runs[run] = Some((place(taken.run.first), pages));
                    }
                }
            }
            Op::ReturnCache(which) => {
                if let Some(slot) = choose(&self.caches, which) {
                    let cache = self.caches[slot].take().expect("the slot is filled");
                    self.pages.return_cache(cache).expect("its pages are nowhere else");
                    for bit in (0..CACHE_PAGES).filter(|bit| cache.free >> bit & 1 != 0) {
                        let released = cache.scavenged >> bit & 1 != 0;
                        self.states[place(cache.base) + bit] = if released { State::Released } else { State::Retained };
                    }
                }
            }
            Op::TakeCandidate(chunk, from, min, max, huge) => self.take_candidate(chunk % CHUNKS, from, min, max, huge),
            Op::Released(which) => {
                if let Some(slot) = choose(&self.in_flight, which) {
                    let (at, pages) = self.in_flight[slot].take().expect("the slot is filled");
                    self.pages.free_scavenged(Run { first: page(at), pages }).expect("it is in flight");
                    self.states[at..at + pages].fill(State::Released);
                }
            }
        }
    }

    /// The lowest aligned run of free pages, by scanning.
    fn first_fit(&self, pages: usize, align: usize) -> Option<usize> {
        self.first_fit_from(0, pages, align)
    }

    /// The same at or above a place.
    fn first_fit_from(&self, mut at: usize, pages: usize, align: usize) -> Option<usize> {
        while at + pages <= PAGES {
            if !page(at).0.is_multiple_of(align) {
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

    fn alloc_above(&mut self, floor: usize, pages: usize) {
        if self.states[floor] == State::Unmapped {
            return;
        }
        let expected = (pages > 0).then(|| self.first_fit_from(floor, pages, 1)).flatten();
        let taken = self.pages.alloc_above(page(floor), pages);
        self.took(expected, pages, taken);
    }

    fn alloc_exact(&mut self, at: usize, pages: usize) {
        let is_free =
            at + pages <= PAGES && pages > 0 && self.states[at..at + pages].iter().all(|state| state.is_free());
        let taken = self.pages.alloc_exact(Run { first: page(at), pages });
        self.took(is_free.then_some(at), pages, taken);
    }

    fn free_part(&mut self, which: usize, from: usize, pages: usize) {
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

    fn misuse(&mut self, at: usize, pages: usize) {
        let end = (at + pages).min(PAGES);
        let Some(bad) = (at..end).find(|&at| self.states[at] != State::Taken) else { return };
        let fault = self.pages.free(Run { first: page(at), pages: end - at }).expect_err("a page of it is not in use");
        let kind = if self.states[bad] == State::Unmapped { FaultKind::NotMapped } else { FaultKind::DoubleFree };
        assert_eq!((fault.kind, fault.page), (kind, page(bad)));
    }

    fn grow(&mut self, chunk: usize, chunks: usize) {
        // Not over the border between the parts, and the chunk below it stays unmapped.
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

    fn take_cache(&mut self) {
        let Some(slot) = empty_slot(&self.caches) else { return };
        let cache = self.pages.take_cache();
        let first = self.states.iter().position(|state| state.is_free());
        assert_eq!(cache.is_some(), first.is_some());
        let (Some(cache), Some(first)) = (cache, first) else { return };
        self.took_cache(slot, first / CACHE_PAGES * CACHE_PAGES, cache);
    }

    fn take_cache_at(&mut self, base: usize, retained: usize) {
        let Some(slot) = empty_slot(&self.caches) else { return };
        let cache = self.pages.take_cache_at(page(base), retained);
        let block = &self.states[base..base + CACHE_PAGES];
        let is_worth_it = block.iter().filter(|&&state| state == State::Retained).count() >= retained;
        assert_eq!(cache.is_some(), is_worth_it);
        let Some(cache) = cache else { return };
        self.took_cache(slot, base, cache);
    }

    /// The allocator took `cache` from the block at `base`.
    fn took_cache(&mut self, slot: usize, base: usize, cache: PageCache) {
        let mut expected = PageCache { base: page(base), ..PageCache::EMPTY };
        for (bit, state) in self.states[base..base + CACHE_PAGES].iter_mut().enumerate() {
            if state.is_free() {
                expected.free |= 1 << bit;
                expected.scavenged |= u64::from(*state == State::Released) << bit;
                *state = State::Taken;
            }
        }
        assert_eq!(cache, expected);
        self.caches[slot] = Some(cache);
    }

    fn take_candidate(&mut self, chunk: usize, from: usize, min: u32, max: usize, huge: u32) {
        let Some(slot) = empty_slot(&self.in_flight) else { return };
        let (min, huge) = (1 << min, 1 << huge);
        let candidate = self.pages.take_candidate(page(chunk * CHUNK_PAGES).chunk(), from, min, max, huge);
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
        assert!(retained(at, run.pages) && at.is_multiple_of(min) && run.pages.is_multiple_of(min));
        let cut = max.max(min).next_multiple_of(min);
        // Longer than asked for only down to the start of a whole huge page, shorter only where there is no more.
        assert!(run.pages <= cut || (huge > min && at.is_multiple_of(huge) && at + run.pages - cut < at + huge));
        assert!(run.pages >= cut || at == 0 || !retained(at - min, min));
        for first in (0..CHUNK_PAGES).step_by(huge).filter(|_| huge > min) {
            let broken = first < at && at < first + huge || first < at + run.pages && at + run.pages < first + huge;
            assert!(!(broken && retained(first, huge)), "a whole huge page stays whole");
        }
        assert_eq!(candidate.more_below, (0..at / min).any(|group| retained(group * min, min)));
        self.states[base + at..base + at + run.pages].fill(State::Taken);
        self.in_flight[slot] = Some((base + at, run.pages));
    }

    /// Compares every page's bits and the counters with the model.
    fn compare(&self, op: Op) {
        let (mut free, mut released, mut mapped) = (0, 0, 0);
        for (chunk, states) in self.states.as_chunks::<CHUNK_PAGES>().0.iter().enumerate() {
            let number = page(chunk * CHUNK_PAGES).chunk();
            if states[0] == State::Unmapped {
                assert_eq!(self.pages.chunk_in_use(number), 0);
                continue;
            }
            mapped += CHUNK_PAGES;
            let (chunk_free, chunk_released) = (free, released);
            for (word, states) in states.as_chunks::<64>().0.iter().enumerate() {
                let bits = |wanted: fn(State) -> bool| {
                    states.iter().rev().fold(0_u64, |bits, &state| bits << 1 | u64::from(wanted(state)))
                };
                let expected = (bits(State::is_free), bits(|state| state == State::Released));
                assert_eq!(self.pages.bitmap_words(number, word), Some(expected), "after {op:?}");
                free += expected.0.count_ones() as usize;
                released += expected.1.count_ones() as usize;
            }
            assert_eq!(self.pages.chunk_in_use(number), CHUNK_PAGES - (free - chunk_free));
            let fresh = released - chunk_released == CHUNK_PAGES;
            assert_eq!(self.pages.chunk_is_all_free_and_scavenged(number), fresh);
        }
        let counters = (self.pages.free_pages(), self.pages.scavenged_pages(), self.pages.mapped_pages());
        assert_eq!(counters, (free, released, mapped), "after {op:?}");
        let ranges: usize = self.pages.mapped_ranges().map(|range| range.chunks).sum();
        assert_eq!(ranges * CHUNK_PAGES, mapped);
    }
}
