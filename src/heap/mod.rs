//! The heap: the whole, which owns the tower of floors.
//!
//! `Heap { Caches { Centrals { PageHeaps { Accounts } } } }`: each floor owns the floor below, so no floor can call up, because
//! it has no reference to what is above. What fails below (no pages) is an answer; this floor owns the means (trimming the
//! caches, waiting for pages in flight) and tries again.
//!
//! - `reclaim`: allocation that tries again, small and large.
//! - `scavenge_all`: gives everything back at once.
//! - `fork`: the fork handlers.
//! - `inspect` (models only): checks of the whole.
//!
//! Everything takes `&Heap`; there is no static below `global`, so a test or a model builds as many heaps as it likes.
//!
//! Locks, outermost first: registry, depot, central, page cache, heap, scavenge, metadata. No two nest outside the fork handlers.
//! System calls are made with no lock held, except growth's mapping step.

mod fork;
#[cfg(loom)]
mod inspect;
mod reclaim;
mod scavenge_all;

use core::ptr::NonNull;

use crate::accounts::Accounts;
use crate::accounts::stats::Stats;
use crate::caches::{Caches, ThreadCache, Word};
use crate::central::Centrals;
use crate::config::Config;
use crate::page_heap::PageHeaps;
use crate::sync::const_unless_loom;

/// The heap.
pub struct Heap {
    caches: Caches,
}

impl Heap {
    const_unless_loom! {
        /// A heap without memory. [`Heap::initialize`] comes before anything else: what does not begin with 0 gets its value
        /// there, so that a static heap, which is large, takes no room in the program's file.
        pub fn new() -> Self {
            Self { caches: Caches::new() }
        }
    }

    /// Maps the heap's tables. `false` if the OS gives no memory for them; may be tried again then.
    ///
    /// # Safety
    /// Called until it succeeds and not again, by one thread at a time, before any other use. All tops of `sentinel_cache` are
    /// `sentinel`, the last word of a null block; both stay valid and are never written.
    pub unsafe fn initialize(&self, sentinel_cache: NonNull<ThreadCache>, sentinel: *const Word) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.caches.initialize(sentinel_cache, sentinel) }
    }

    /// Takes in the user's settings; before the heap's first growth.
    pub fn configure(&self, config: &Config) {
        self.page_heaps().configure(config);
    }

    /// The floor of thread caches and depots.
    #[inline]
    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    /// The floor of spans with free slots.
    #[inline]
    pub fn centrals(&self) -> &Centrals {
        &self.caches.centrals
    }

    /// The floor of pages.
    #[inline]
    pub fn page_heaps(&self) -> &PageHeaps {
        &self.caches.centrals.page_heaps
    }

    /// The accounts.
    #[inline]
    pub fn accounts(&self) -> &Accounts {
        &self.caches.centrals.page_heaps.accounts
    }

    /// A snapshot of the accounts. Exact when nothing else uses the heap; otherwise each figure is of a slightly different
    /// moment.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.caches.fill(&mut stats);
        stats
    }

    /// The levels for a scavenger that is about to park, read after it has passed through the locks that frees pass
    /// through. A free that came before has raised the level that is read here; a later free finds the scavenger
    /// parked, and the levels it published. Without this a free could still compare with an older, higher level, and
    /// nobody would look again.
    pub fn synchronized_levels(&self) -> (u64, u64) {
        self.caches.pass_through_locks();
        self.accounts().levels()
    }
}
