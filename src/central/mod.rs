//! The centrals: spans with free slots, between the caches above and the page heaps below.
//!
//! Each shard has a central of each size class. The centrals own the page heaps, which are the floor below. They know
//! nothing of magazines or threads.
//!
//! - `class`: one central, which is what a central lock protects.
//! - `lists`: a central's spans by occupancy.
//! - `refill`: takes slots for the caches, and makes a span if no central has a slot.
//! - `flush`: gives slots back to their spans, and empty spans back to the page heaps.
//! - `hole_queue`: which spans may have new holes (OS pages without a live slot).
//! - `release_holes`: releases the holes.
//! - `misuse`: frees that cannot be right.
//!
//! Locks: central, one at a time. No lock of the floors below is taken under a central lock.

mod class;
mod flush;
mod hole_queue;
mod lists;
mod misuse;
mod refill;
mod release_holes;

#[cfg(debug_assertions)]
pub use misuse::{Misuse, or_abort};

use core::ops::Range;

use crate::accounts::stats::Stats;
use crate::accounts::{Accounts, SHARDS};
use crate::lock::{CachePadded, ForkLock, Lock, Rank};
use crate::page_heap::PageHeaps;
use crate::size_class::{CLASSES, TABLE};
use crate::sync::{const_unless_loom, repeat};

use class::Central;

/// See the module's header.
pub struct Centrals {
    /// The floor below.
    pub page_heaps: PageHeaps,
    centrals: [[CachePadded<Lock<Central>>; CLASSES]; SHARDS],
}

impl Centrals {
    /// Bytes of one central.
    pub const CENTRAL_BYTES: usize = size_of::<CachePadded<Lock<Central>>>();

    const_unless_loom! {
        /// No spans. The caller initialises the page heaps before anything else.
        pub fn new() -> Self {
            Self {
                page_heaps: PageHeaps::new(),
                centrals: repeat![repeat![CachePadded::new(Lock::new(Rank::Central, Central::new())); CLASSES]; SHARDS],
            }
        }
    }

    /// The lowest floor.
    #[inline]
    pub fn accounts(&self) -> &Accounts {
        &self.page_heaps.accounts
    }

    /// Gives the spare spans of all centrals to the page heaps, and the pages of page caches too.
    pub fn trim(&self) {
        for shard in self.accounts().shards.all() {
            for class in 0..CLASSES {
                let spare = self.centrals[shard][class].lock().take_spare();
                if let Some(span) = spare {
                    self.retire(span);
                }
            }
        }
        self.page_heaps.trim();
    }

    /// Writes the page heaps' part of a snapshot. The centrals have no part of their own.
    pub fn fill(&self, stats: &mut Stats) {
        self.page_heaps.fill(stats);
    }

    /// Takes each lock of `shards`, here and in the page heaps, for a moment. See `Heap::synchronized_levels`.
    pub fn pass_through_locks(&self, shards: Range<usize>) {
        for central in self.centrals[shards.clone()].as_flattened() {
            drop(central.lock());
        }
        self.page_heaps.pass_through_locks(shards);
    }

    /// Calls `visit` with each lock of this floor and the floors below, outermost first.
    pub fn each_lock<'a>(&'a self, shards: Range<usize>, visit: &mut dyn FnMut(&'a dyn ForkLock)) {
        for central in self.centrals[shards.clone()].as_flattened() {
            visit(&**central);
        }
        self.page_heaps.each_lock(shards, visit);
    }

    /// Counts again in the child of a fork. A thread that the child does not have may have changed a central and not yet
    /// its counter.
    pub fn recount_in_child(&self) {
        self.page_heaps.recount_in_child();
        for shard in self.accounts().shards.all() {
            let free = |(class, info): (usize, &crate::size_class::ClassInfo)| {
                self.centrals[shard][class].lock().free_slots() * info.slot_bytes as usize
            };
            self.accounts().counters.set_free_slots_in_child(shard, TABLE.iter().enumerate().map(free).sum());
        }
    }

    /// Checks that `address` is a slot of the class and is not free in its span. Debug builds check each free.
    #[cfg(debug_assertions)]
    pub fn check_live(&self, address: usize, class: usize) -> Result<(), Misuse> {
        match self.page_heaps.span_map.lookup(address) {
            Some(span) if span.state() == crate::span::STATE_SMALL && span.class() == class => {
                self.centrals[span.shard()][class].lock().check_live(class, span, address)
            }
            _ => Err(Misuse::Foreign(address)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
