//! The accounts: what every floor above counts and compares, without a lock.
//!
//! - `counters`: bytes by state, and what happened so far.
//! - `shards`: how many shards are in use, and which thread belongs to which shard.
//! - `wakeup`: how a free wakes the parked scavenger, or asks for one.
//! - `working_set` (pure): which part of a level was needed lately; the rest is excess.
//! - `stats` (pure): the snapshot that users read.
//!
//! This is the lowest floor of the heap. It has no reference to pages, spans or caches.
//!
//! Orderings: the page size is set once; whoever has the heap got it from who initialised it.
//!
//! Locks: none.

mod counters;
mod shards;
pub mod stats;
mod wakeup;
pub mod working_set;

pub use counters::Counters;
pub use shards::{SHARDS, Shards};
pub use wakeup::Wakeup;

use crate::sync::const_unless_loom;
use crate::sync::plain::{AtomicUsize, Ordering};
use crate::sys;
use crate::units::PAGE_BYTES;

/// See the module's header.
pub struct Accounts {
    /// Bytes by state.
    pub counters: Counters,
    /// How the scavenger is woken.
    pub wakeup: Wakeup,
    /// How threads are spread.
    pub shards: Shards,
    /// The kernel's page size, asked for once.
    os_page_bytes: AtomicUsize,
}

impl Accounts {
    const_unless_loom! {
        /// All zero; [`Accounts::initialize`] comes before anything else.
        pub fn new() -> Self {
            Self {
                counters: Counters::new(),
                wakeup: Wakeup::new(),
                shards: Shards::new(),
                os_page_bytes: AtomicUsize::new(0),
            }
        }
    }

    /// Gives everything that does not begin with zero its value.
    pub fn initialize(&self) {
        self.wakeup.begin(0);
        self.shards.configure(sys::thread::cpus_available());
        self.os_page_bytes.store(sys::page::os_page_bytes(), Ordering::Release);
    }

    /// The kernel's page size in bytes.
    #[inline]
    pub fn os_page_bytes(&self) -> usize {
        self.os_page_bytes.load(Ordering::Relaxed)
    }

    /// The length of a release in our pages, at least; each release is a multiple of this length and aligned to it.
    #[inline]
    pub fn release_unit_pages(&self) -> usize {
        (self.os_page_bytes() / PAGE_BYTES).max(1)
    }

    /// The levels that wake the scavenger: retained bytes, and bytes of free slots in spans and depots that are not
    /// released.
    pub fn levels(&self) -> (u64, u64) {
        let slots = self.counters.unreleased_hole_bytes() + self.counters.depot_bytes();
        (self.counters.retained_bytes() as u64, slots as u64)
    }

    /// After memory was freed, with no lock held: wakes the scavenger if it has work now.
    pub fn after_free(&self) {
        let (retained, slots) = self.levels();
        self.wakeup.after_free(retained, slots);
    }

    /// The epoch that it is now.
    pub fn epoch(&self) -> u32 {
        if cfg!(loom) { 0 } else { working_set::epoch(sys::time::monotonic_ns()) }
    }
}
