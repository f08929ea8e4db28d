//! The heap's counters. Statistics and the scavenger's policy read them without a lock.
//!
//! The pages in use are counted here and not derived from the page allocators' own counters. So `mapped = in use + free +
//! in flight + cached` compares two independent counts: it is a real check, not an identity by construction.
//!
//! Orderings: Relaxed throughout. Each counter is exact by itself. A reader that needs several counters to agree waits for
//! quiescence, where locks have ordered all accesses.
//!
//! Locks: none.

use crate::lock::CachePadded;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{const_unless_loom, repeat};
use crate::units::PAGE_BYTES;

use super::shards::SHARDS;
use super::stats::Stats;

/// A thread compares the levels with the wake-up levels only when a counter that it raises passes a multiple of this. A
/// level is a sum over the counters of all shards. To read it at each flush would share the cache lines that shards keep
/// apart. A model compares each time.
///
/// So a level can stand above the level that wakes the scavenger: by less than one grain for each counter (free slots,
/// depots) of each shard, 1 MiB in all. Nobody is woken for this part before the next rise past a multiple. `scavenge()`
/// and growth do not depend on wake-ups.
const GRAIN_BYTES: usize = if cfg!(loom) { 1 } else { 64 << 10 };

/// Whether a counter that rises from `before` by `rise` passes a multiple of the grain.
fn passes_a_grain(before: usize, rise: usize) -> bool {
    before / GRAIN_BYTES != (before + rise) / GRAIN_BYTES
}

/// The counters that a shard's threads change at each flush and at each trade with the depot.
struct ShardCounters {
    free_slot_bytes: AtomicUsize,
    depot_bytes: AtomicUsize,
    retained_pages: AtomicUsize,
}

impl ShardCounters {
    const_unless_loom! {
        fn new() -> Self {
            Self {
                free_slot_bytes: AtomicUsize::new(0),
                depot_bytes: AtomicUsize::new(0),
                retained_pages: AtomicUsize::new(0),
            }
        }
    }
}

/// The counters. The pages in use and each shard's counters are written often, so each has a pair of cache lines of its
/// own.
pub struct Counters {
    in_use_pages: CachePadded<AtomicUsize>,
    /// The most and the fewest pages in use since the scavenger last looked.
    most_in_use_pages: AtomicUsize,
    fewest_in_use_pages: AtomicUsize,
    hole_bytes: AtomicUsize,
    faulted_bytes: AtomicUsize,
    shards: [CachePadded<ShardCounters>; SHARDS],
    released_total: AtomicUsize,
    inline_released: AtomicUsize,
    growths: AtomicUsize,
    refused_releases: AtomicUsize,
    tick: AtomicU32,
    scavenger_cpu_ns: AtomicU64,
}

impl Counters {
    const_unless_loom! {
        /// All zero.
        pub fn new() -> Self {
            Self {
                in_use_pages: CachePadded::new(AtomicUsize::new(0)),
                most_in_use_pages: AtomicUsize::new(0),
                fewest_in_use_pages: AtomicUsize::new(0),
                hole_bytes: AtomicUsize::new(0),
                faulted_bytes: AtomicUsize::new(0),
                shards: repeat![CachePadded::new(ShardCounters::new()); SHARDS],
                released_total: AtomicUsize::new(0),
                inline_released: AtomicUsize::new(0),
                growths: AtomicUsize::new(0),
                refused_releases: AtomicUsize::new(0),
                tick: AtomicU32::new(0),
                scavenger_cpu_ns: AtomicU64::new(0),
            }
        }
    }

    /// Counts pages that went into use; `scavenged_pages` of them were released.
    pub fn add_in_use(&self, pages: usize, scavenged_pages: usize) {
        let now = self.in_use_pages.fetch_add(pages, Ordering::Relaxed) + pages;
        if now > self.most_in_use_pages.load(Ordering::Relaxed) {
            self.most_in_use_pages.fetch_max(now, Ordering::Relaxed);
        }
        if scavenged_pages != 0 {
            self.add_faulted(scavenged_pages * PAGE_BYTES);
        }
    }

    /// Counts pages that went out of use.
    pub fn subtract_in_use(&self, pages: usize) {
        let now = self.in_use_pages.fetch_sub(pages, Ordering::Relaxed) - pages;
        if now < self.fewest_in_use_pages.load(Ordering::Relaxed) {
            self.fewest_in_use_pages.fetch_min(now, Ordering::Relaxed);
        }
    }

    /// Sets the pages in use in the child of a fork. Other threads may have left the count half done, and nobody else
    /// counts now.
    pub fn set_in_use_in_child(&self, in_use_pages: usize) {
        self.in_use_pages.store(in_use_pages, Ordering::Relaxed);
    }

    /// Sets the bytes of free slots in a shard's spans, likewise in the child of a fork.
    pub fn set_free_slots_in_child(&self, shard: usize, bytes: usize) {
        self.shards[shard].free_slot_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets the bytes of slots in a shard's depots, likewise in the child of a fork.
    pub fn set_depot_in_child(&self, shard: usize, bytes: usize) {
        self.shards[shard].depot_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of pages in use.
    pub fn in_use_bytes(&self) -> usize {
        self.in_use_pages.load(Ordering::Relaxed) * PAGE_BYTES
    }

    /// The fewest and the most bytes in use since the last call.
    pub fn take_in_use_range(&self) -> (usize, usize) {
        let now = self.in_use_pages.load(Ordering::Relaxed);
        let fewest = self.fewest_in_use_pages.swap(now, Ordering::Relaxed).min(now);
        let most = self.most_in_use_pages.swap(now, Ordering::Relaxed).max(now);
        (fewest * PAGE_BYTES, most * PAGE_BYTES)
    }

    /// Counts holes that were released inside spans.
    pub fn add_holes(&self, bytes: usize) {
        self.hole_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts released holes that ended: their slots were taken, or their span went back to its page heap.
    pub fn subtract_holes(&self, bytes: usize) {
        self.hole_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of released holes inside spans.
    pub fn released_hole_bytes(&self) -> usize {
        self.hole_bytes.load(Ordering::Relaxed)
    }

    /// Counts memory that was handed out while it was not backed.
    pub fn add_faulted(&self, bytes: usize) {
        self.faulted_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All bytes that were ever handed out while they were not backed; wraps.
    pub fn faulted_total(&self) -> usize {
        self.faulted_bytes.load(Ordering::Relaxed)
    }

    /// Sets the retained pages of a shard's page heap. The caller holds the page heap's lock.
    pub fn set_retained_pages(&self, shard: usize, pages: usize) {
        self.shards[shard].retained_pages.store(pages, Ordering::Relaxed);
    }

    /// The retained pages of a shard's page heap.
    pub fn shard_retained_pages(&self, shard: usize) -> usize {
        self.shards[shard].retained_pages.load(Ordering::Relaxed)
    }

    /// Retained bytes of all page heaps.
    pub fn retained_bytes(&self) -> usize {
        (0..SHARDS).map(|shard| self.shard_retained_pages(shard)).sum::<usize>() * PAGE_BYTES
    }

    /// Counts slots that went back to a shard's spans, or that a new span adds. Returns whether the levels are worth a
    /// look.
    pub fn add_free_slots(&self, shard: usize, bytes: usize) -> bool {
        let before = self.shards[shard].free_slot_bytes.fetch_add(bytes, Ordering::Relaxed);
        passes_a_grain(before, bytes)
    }

    /// Counts slots that were taken from a shard's spans, or that an emptied span took along.
    pub fn subtract_free_slots(&self, shard: usize, bytes: usize) {
        self.shards[shard].free_slot_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a full magazine that goes into a depot. Returns whether the levels are worth a look.
    pub fn add_depot(&self, shard: usize, bytes: usize) -> bool {
        let before = self.shards[shard].depot_bytes.fetch_add(bytes, Ordering::Relaxed);
        passes_a_grain(before, bytes)
    }

    /// Counts a full magazine that left a depot.
    pub fn subtract_depot(&self, shard: usize, bytes: usize) {
        self.shards[shard].depot_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of slots in a shard's depots.
    pub fn shard_depot_bytes(&self, shard: usize) -> usize {
        self.shards[shard].depot_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of slots in all depots.
    pub fn depot_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.depot_bytes.load(Ordering::Relaxed)).sum()
    }

    /// Bytes of free slots in spans, without the released holes. It is an upper estimate of the holes that can be released.
    pub fn unreleased_hole_bytes(&self) -> usize {
        let free: usize = self.shards.iter().map(|shard| shard.free_slot_bytes.load(Ordering::Relaxed)).sum();
        free.saturating_sub(self.released_hole_bytes())
    }

    /// Counts memory that went back to the OS.
    pub fn add_released(&self, bytes: usize) {
        self.released_total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a growth of the heap, and the bytes that the thread which grew it released in exchange.
    pub fn add_growth(&self, released_bytes: usize) {
        self.growths.fetch_add(1, Ordering::Relaxed);
        self.inline_released.fetch_add(released_bytes, Ordering::Relaxed);
    }

    /// Counts a release that the kernel refused.
    pub fn add_refused_release(&self) {
        self.refused_releases.fetch_add(1, Ordering::Relaxed);
    }

    /// How many releases the kernel refused.
    pub fn refused_releases(&self) -> usize {
        self.refused_releases.load(Ordering::Relaxed)
    }

    /// How often the heap grew.
    pub fn growths(&self) -> usize {
        self.growths.load(Ordering::Relaxed)
    }

    /// All bytes that threads ever released after they grew the heap; wraps.
    pub fn inline_released(&self) -> usize {
        self.inline_released.load(Ordering::Relaxed)
    }

    /// All bytes that ever went back to the OS; wraps.
    pub fn released_total(&self) -> usize {
        self.released_total.load(Ordering::Relaxed)
    }

    /// Writes the counters' part of a snapshot.
    pub fn fill(&self, stats: &mut Stats) {
        stats.in_use_bytes = self.in_use_bytes() as u64;
        stats.hole_released_bytes = self.released_hole_bytes() as u64;
        stats.hole_bytes = self.unreleased_hole_bytes() as u64;
        stats.depot_bytes = self.depot_bytes() as u64;
        stats.released_bytes_total = self.released_total() as u64;
        stats.scavenger_cpu_ns_total = self.scavenger_cpu_ns();
        stats.inline_released_bytes_total = self.inline_released() as u64;
        stats.growths_total = self.growths() as u64;
        stats.faulted_bytes_total = self.faulted_total() as u64;
        stats.refused_releases_total = self.refused_releases() as u64;
        let free_slots = stats.hole_bytes + stats.hole_released_bytes + stats.depot_bytes;
        stats.live_bytes = stats.in_use_bytes.saturating_sub(free_slots);
    }

    /// Sets the scavenger's CPU time.
    pub fn set_scavenger_cpu_ns(&self, ns: u64) {
        self.scavenger_cpu_ns.store(ns, Ordering::Relaxed);
    }

    /// The scavenger's CPU time.
    pub fn scavenger_cpu_ns(&self) -> u64 {
        self.scavenger_cpu_ns.load(Ordering::Relaxed)
    }

    /// The number of the scavenger's current tick. Ages are differences of ticks.
    pub fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Begins the next tick.
    pub fn next_tick(&self) -> u32 {
        self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}
