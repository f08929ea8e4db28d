//! A naive model of the page allocator: each page has one state, and every search is a scan.
//!
//! Property tests and fuzzing run the same interpreter. Eight bytes encode an operation (`op`), so any bytes are a program.
//! The model applies each operation to the allocator and to itself. It then compares the allocator's answer and bits with
//! its own, validates the allocator, and panics at a difference. Test builds only.
//!
//! `place` says which pages the model covers. `runs`, `caches` and `candidates` hold the operations.
//!
//! Locks: none. The model allocates nothing; the caller supplies the large parts.
#![forbid(unsafe_code)]

mod caches;
mod candidates;
mod op;
mod place;
mod runs;

use crate::units::CHUNK_PAGES;

use super::allocator::PageAllocator;
use super::cache::PageCache;
use super::root::Root;
use super::table::RootTable;
use place::{CHUNKS, PAGES, page};

pub use op::{OP_BYTES, Op};

/// The most runs in use, caches, and runs in flight that the model keeps.
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
    /// Runs in use: place and pages.
    runs: [Option<(usize, usize)>; RUNS],
    caches: [Option<PageCache>; CACHES],
    /// Runs in flight: place and pages.
    in_flight: [Option<(usize, usize)>; IN_FLIGHT],
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
    /// A model with nothing mapped. `table` must be empty, and so must the roots that `supply` hands out.
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

    /// Ends the model and hands the table back, with the roots in it.
    pub fn into_table(mut self) -> &'static mut RootTable {
        self.pages.detach().expect("the table was attached")
    }

    /// Decodes and runs a program.
    pub fn run(&mut self, program: &[u8]) {
        for bytes in program.chunks_exact(OP_BYTES) {
            self.step(Op::decode(bytes.try_into().expect("a chunk has this length")));
        }
    }

    /// Applies one operation to both sides and compares everything.
    ///
    /// # Panics
    /// At any difference: a test fails this way.
    pub fn step(&mut self, op: Op) {
        self.apply(op);
        if let Err(difference) = self.pages.validate() {
            panic!("after {op:?}: {difference}");
        }
        self.compare(op);
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Alloc(pages) => self.alloc(pages),
            Op::AllocAligned(pages, align) => self.alloc_aligned(pages, 1 << align),
            Op::AllocAbove(floor, pages) => self.alloc_above(floor % PAGES, pages),
            Op::AllocExact(at, pages) => self.alloc_exact(at % PAGES, pages),
            Op::Extend(which, pages) => self.extend(which, pages),
            Op::Free(which) => self.free(which),
            Op::FreeScavenged(which) => self.free_scavenged(which),
            Op::FreePart(which, from, pages) => self.free_part(which, from, pages.max(1)),
            Op::Misuse(at, pages) => self.misuse(at % PAGES, pages.max(1)),
            Op::Grow(chunk, chunks) => self.grow(chunk % CHUNKS, chunks),
            Op::TakeCache => self.take_cache(),
            Op::TakeCacheAt(at, retained) => self.take_cache_at(at % PAGES, retained),
            Op::CacheAlloc(which, pages) => self.cache_alloc(which, pages),
            Op::ReturnCache(which) => self.return_cache(which),
            Op::AllocCandidate(chunk, from, min, max, huge) => {
                self.alloc_candidate(chunk % CHUNKS, from, min, max, huge)
            }
            Op::Released(which) => self.released(which),
        }
    }

    /// Compares the bits of every page, and the counters, with the model.
    fn compare(&self, op: Op) {
        let (mut free, mut released, mut mapped) = (0, 0, 0);
        for (chunk, states) in self.states.chunks_exact(CHUNK_PAGES).enumerate() {
            let number = page(chunk * CHUNK_PAGES).chunk();
            if states[0] == State::Unmapped {
                assert_eq!(self.pages.chunk_in_use(number), 0);
                continue;
            }
            mapped += CHUNK_PAGES;
            let (chunk_free, chunk_released) = (free, released);
            for (word, states) in states.chunks_exact(64).enumerate() {
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
