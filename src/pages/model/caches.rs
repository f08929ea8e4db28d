//! The model's operations on page caches.
//!
//! Locks: none.

use super::place::{page, place};
use super::{Model, State, choose, empty_slot};
use crate::pages::{CACHE_PAGES, PageCache};

impl Model<'_> {
    pub(super) fn take_cache(&mut self) {
        let Some(slot) = empty_slot(&self.caches) else { return };
        let cache = self.pages.take_cache();
        let first = self.states.iter().position(|state| state.is_free());
        assert_eq!(cache.is_some(), first.is_some());
        let (Some(cache), Some(first)) = (cache, first) else { return };
        self.took_cache(slot, first / CACHE_PAGES * CACHE_PAGES, cache);
    }

    pub(super) fn take_cache_at(&mut self, at: usize, retained: usize) {
        let base = at / CACHE_PAGES * CACHE_PAGES;
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

    pub(super) fn cache_alloc(&mut self, which: usize, pages: usize) {
        let (Some(slot), Some(run)) = (choose(&self.caches, which), empty_slot(&self.runs)) else { return };
        let Some(cache) = &mut self.caches[slot] else { return };
        let before = *cache;
        let Some(taken) = cache.alloc(pages) else { return };
        let at = taken.run.first.0 - before.base.0;
        let mask = (u64::MAX >> (64 - pages)) << at;
        assert_eq!(before.free & mask, mask, "the run was in the cache");
        assert_eq!(taken.scavenged_pages, (before.scavenged & mask).count_ones() as usize);
        assert_eq!((cache.free, cache.scavenged), (before.free & !mask, before.scavenged & !mask));
        self.runs[run] = Some((place(taken.run.first), pages));
    }

    pub(super) fn return_cache(&mut self, which: usize) {
        let Some(slot) = choose(&self.caches, which) else { return };
        let cache = self.caches[slot].take().expect("the slot is filled");
        self.pages.return_cache(cache).expect("its pages are nowhere else");
        for bit in (0..CACHE_PAGES).filter(|bit| cache.free >> bit & 1 != 0) {
            let released = cache.scavenged >> bit & 1 != 0;
            self.states[place(cache.base) + bit] = if released { State::Released } else { State::Retained };
        }
    }
}
