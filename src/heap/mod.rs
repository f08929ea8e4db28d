//! The heap: the whole, which owns the tower of floors.
//!
//! `Heap { Caches { Centrals { PageHeaps { Accounts } } } }`: each floor owns the floor below. A floor cannot call up, because
//! it has no reference to the floor above. A floor that fails (no pages) answers so. The heap owns the means against it
//! (trimming the caches, waiting for pages in flight), and tries again.
//!
//! - `reclaim`: small and large allocation that tries again.
//! - `scavenge_all`: releases all free memory at once.
//! - `fork`: what the fork handlers do with the heap.
//! - `inspect` (models only): pages without a span.
//!
//! Every function takes `&Heap`. Nothing below `global` keeps a heap in a static, so a test or a model builds as many heaps as it likes.
//!
//! Locks, outermost first: registry, depot, central, page cache, heap, scavenge, metadata. No two nest outside the fork
//! handlers. No system call is made while a lock is held, except by growth.

mod fork;
#[cfg(loom)]
mod inspect;
mod reclaim;
mod scavenge_all;

use core::ptr::NonNull;

use crate::accounts::Accounts;
use crate::accounts::stats::Stats;
use crate::caches::{Caches, ThreadCache, ThreadWords, Word};
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
        /// A heap without memory. The caller calls [`Heap::initialize`] before anything else. All fields are zero until then,
        /// so a static heap, which is large, takes no room in the program's file.
        pub fn new() -> Self {
            Self { caches: Caches::new() }
        }
    }

    /// Maps the heap's tables. `false` if the OS gives no memory for the tables; the caller may try again then.
    ///
    /// # Safety
    /// - One thread at a time calls this, before any other use of the heap, and not again after it succeeded.
    /// - All tops of `sentinel_cache` are `sentinel`, the last word of a null block. Both stay valid and are never written.
    pub unsafe fn initialize(&self, sentinel_cache: NonNull<ThreadCache>, sentinel: *const Word) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.caches.initialize(sentinel_cache, sentinel) }
    }

    /// Takes in the user's settings. The caller calls it before the heap first grows.
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

    /// Gives a thread's cache back, at the thread's exit. The last cache wakes the scavenger: its thread must not keep a process
    /// alive whose own threads have ended.
    ///
    /// # Safety
    /// The words are the calling thread's.
    pub unsafe fn give_back_cache(&self, words: &ThreadWords) {
        // SAFETY: the caller's contract.
        if unsafe { self.caches.give_back_cache(words) } {
            self.accounts().wakeup.wake_now();
        }
    }

    /// The levels for the scavenger's thread that is about to park: [`Heap::synchronized_levels`], with `to_come` bytes that frees
    /// could add without waking it. Levels above everything if no thread has a cache: the thread must look whether it is the
    /// process's last. The exit that gives back the last cache has either removed it before this look, or it finds the thread
    /// parked.
    pub fn levels_before_parking(&self, to_come: u64) -> (u64, u64) {
        let (retained, holes) = self.synchronized_levels();
        if self.caches.has_caches() { (retained + to_come, holes + to_come) } else { (u64::MAX, u64::MAX) }
    }

    /// A snapshot of the accounts. It is exact if no other thread uses the heap; otherwise each count is of a slightly
    /// different moment.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.caches.fill(&mut stats);
        stats
    }

    /// The levels for a scavenger that is about to park. The scavenger first takes and releases each lock that frees take, and
    /// then reads the levels. An earlier free has raised a level that is read here. A later free finds that the scavenger is
    /// parked, and finds the wake-up levels that it published. Without the locks, a free could compare with an older and
    /// higher wake-up level, and nobody would look again.
    pub fn synchronized_levels(&self) -> (u64, u64) {
        self.caches.pass_through_locks();
        self.accounts().levels()
    }
}
