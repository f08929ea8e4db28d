//! The accounts: what the floors above count and compare without a lock.
//!
//! - `counters`: bytes by state, and how much happened so far.
//! - `shards`: how many shards are in use, and which shard a thread belongs to.
//! - `wakeup`: how a free wakes the parked scavenger, or asks for a scavenger, and how a scavenger ends.
//! - `working_set` (pure): which part of a level was needed lately. The rest is excess.
//! - `stats` (pure): the snapshot that users read.
//!
//! This is the lowest floor of the heap. It has no reference to pages, spans or caches.
//!
//! Orderings: the OS page size is set once. Whoever has the heap got the heap from the thread that initialised it, so a
//! Relaxed load sees the size.
//!
//! Locks: none.

mod counters;
mod shards;
pub mod stats;
mod wakeup;
pub mod working_set;

pub use counters::Counters;
pub use shards::{SHARDS, Shards};
pub use wakeup::{Parked, Wakeup};

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
    /// How threads are spread over shards.
    pub shards: Shards,
    /// The size of an OS page, asked for once.
    os_page_bytes: AtomicUsize,
}

impl Accounts {
    const_unless_loom! {
        /// All zero. The caller calls [`Accounts::initialize`] before anything else.
        pub fn new() -> Self {
            Self {
                counters: Counters::new(),
                wakeup: Wakeup::new(),
                shards: Shards::new(),
                os_page_bytes: AtomicUsize::new(0),
            }
        }
    }

    /// Sets all values that do not begin with zero.
    pub fn initialize(&self) {
        self.wakeup.begin(0);
        self.shards.configure(sys::thread::cpus_available());
        self.os_page_bytes.store(sys::page::os_page_bytes(), Ordering::Release);
    }

    /// Bytes of an OS page.
    #[inline]
    pub fn os_page_bytes(&self) -> usize {
        self.os_page_bytes.load(Ordering::Relaxed)
    }

    /// The unit of a release, in our pages. Each release is a multiple of the unit and aligned to it.
    #[inline]
    pub fn release_unit_pages(&self) -> usize {
        (self.os_page_bytes() / PAGE_BYTES).max(1)
    }

    /// The levels that wake the scavenger: the retained bytes, and the bytes of free slots in spans and depots without the
    /// released holes.
    pub fn levels(&self) -> (u64, u64) {
        let slots = self.counters.unreleased_hole_bytes() + self.counters.depot_bytes();
        (self.counters.retained_bytes() as u64, slots as u64)
    }

    /// Wakes the scavenger if it has work now. Called after memory was freed, with no lock held.
    pub fn after_free(&self) {
        let (retained, slots) = self.levels();
        self.wakeup.after_free(retained, slots);
    }

    /// The number of the current epoch.
    pub fn epoch(&self) -> u32 {
        if cfg!(loom) { 0 } else { working_set::epoch(sys::time::monotonic_ns()) }
    }
}
