//! The heap's counters: what the accounts and the scavenger's policy read without a lock.
//!
//! `in_use` is kept apart from the page allocator's own counters on purpose: that the two agree, `mapped = in use + free +
//! in flight + cached`, is a real check and not an identity by construction.
//!
//! Orderings: Relaxed throughout. Each counter is exact by itself; a reader that needs several to agree waits for
//! quiescence, where locks have ordered everything.

use crate::lock::CachePadded;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{const_unless_loom, repeat};
use crate::units::PAGE_BYTES;

use super::shards::SHARDS;
use super::stats::Stats;

/// A shard's levels are looked at each time one of them passes a multiple of this: they are the sum over lines that other
/// threads write, and reading those at each flush is what shards are there to avoid. A model looks each time.
///
/// So a level can stand above the one that wakes the scavenger, by less than the grain for each counter (of free slots and of
/// depots) of each shard: 1 MiB in all. Nobody acts on that before the next rise past a multiple; `scavenge()` and
/// growth do not ask for it.
const GRAIN_BYTES: usize = if cfg!(loom) { 1 } else { 64 << 10 };

/// Whether a level that rises from `before` passes a multiple of the grain.
fn passes_a_grain(before: usize, rise: usize) -> bool {
    before / GRAIN_BYTES != (before + rise) / GRAIN_BYTES
}

/// What the threads of a shard count at each flush and each trade, on a line of their own.
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

/// The counters. What threads write often has a cache line pair of its own: the pages in use, and each shard's.
pub struct Counters {
    in_use_pages: CachePadded<AtomicUsize>,
    /// Most and fewest pages in use since the scavenger last looked.
    most_pages: AtomicUsize,
    fewest_pages: AtomicUsize,
    hole_bytes: AtomicUsize,
    refaulted_bytes: AtomicUsize,
    shards: [CachePadded<ShardCounters>; SHARDS],
    released_total: AtomicUsize,
    inline_released: AtomicUsize,
    growths: AtomicUsize,
    tick: AtomicU32,
    scavenger_cpu_ns: AtomicU64,
}

impl Counters {
    const_unless_loom! {
        /// All zero.
        pub fn new() -> Self {
            Self {
                in_use_pages: CachePadded::new(AtomicUsize::new(0)),
                most_pages: AtomicUsize::new(0),
                fewest_pages: AtomicUsize::new(0),
                hole_bytes: AtomicUsize::new(0),
                refaulted_bytes: AtomicUsize::new(0),
                shards: repeat![CachePadded::new(ShardCounters::new()); SHARDS],
                released_total: AtomicUsize::new(0),
                inline_released: AtomicUsize::new(0),
                growths: AtomicUsize::new(0),
                tick: AtomicU32::new(0),
                scavenger_cpu_ns: AtomicU64::new(0),
            }
        }
    }

    /// Pages went into use.
    pub fn add_in_use(&self, pages: usize, scavenged_pages: usize) {
        let now = self.in_use_pages.fetch_add(pages, Ordering::Relaxed) + pages;
        if now > self.most_pages.load(Ordering::Relaxed) {
            self.most_pages.fetch_max(now, Ordering::Relaxed);
        }
        if scavenged_pages != 0 {
            self.add_refaulted(scavenged_pages * PAGE_BYTES);
        }
    }

    /// Pages went out of use.
    pub fn subtract_in_use(&self, pages: usize) {
        let now = self.in_use_pages.fetch_sub(pages, Ordering::Relaxed) - pages;
        if now < self.fewest_pages.load(Ordering::Relaxed) {
            self.fewest_pages.fetch_min(now, Ordering::Relaxed);
        }
    }

    /// In the child of a fork, where nobody else counts: replaces what other threads may have left half counted.
    pub fn set_in_use_in_child(&self, in_use_pages: usize) {
        self.in_use_pages.store(in_use_pages, Ordering::Relaxed);
    }

    /// The same for the free slots of a shard's spans.
    pub fn set_free_slots_in_child(&self, shard: usize, bytes: usize) {
        self.shards[shard].free_slot_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The same for a shard's depots.
    pub fn set_depot_in_child(&self, shard: usize, bytes: usize) {
        self.shards[shard].depot_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of pages in use.
    pub fn in_use_bytes(&self) -> usize {
        self.in_use_pages.load(Ordering::Relaxed) * PAGE_BYTES
    }

    /// Fewest and most bytes in use since the last call.
    pub fn take_extent(&self) -> (usize, usize) {
        let now = self.in_use_pages.load(Ordering::Relaxed);
        let fewest = self.fewest_pages.swap(now, Ordering::Relaxed).min(now);
        let most = self.most_pages.swap(now, Ordering::Relaxed).max(now);
        (fewest * PAGE_BYTES, most * PAGE_BYTES)
    }

    /// Holes were released inside spans.
    pub fn add_holes(&self, bytes: usize) {
        self.hole_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Released holes ended: their slots were taken, or their span went back to the heap.
    pub fn subtract_holes(&self, bytes: usize) {
        self.hole_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of released holes inside spans.
    pub fn hole_bytes(&self) -> usize {
        self.hole_bytes.load(Ordering::Relaxed)
    }

    /// Released memory was handed out and will be faulted in.
    pub fn add_refaulted(&self, bytes: usize) {
        self.refaulted_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Released bytes ever handed out; wraps.
    pub fn refaulted_total(&self) -> usize {
        self.refaulted_bytes.load(Ordering::Relaxed)
    }

    /// The free pages of a shard's page heap that are backed; written under its lock.
    pub fn set_retained_pages(&self, shard: usize, pages: usize) {
        self.shards[shard].retained_pages.store(pages, Ordering::Relaxed);
    }

    /// The free pages of a shard's page heap that are backed.
    pub fn shard_retained_pages(&self, shard: usize) -> usize {
        self.shards[shard].retained_pages.load(Ordering::Relaxed)
    }

    /// Bytes of free pages that are backed.
    pub fn retained_bytes(&self) -> usize {
        (0..SHARDS).map(|shard| self.shard_retained_pages(shard)).sum::<usize>() * PAGE_BYTES
    }

    /// Slots went back to partly used spans, or a span of free slots was added. Whether the levels are worth a look.
    pub fn add_free_slots(&self, shard: usize, bytes: usize) -> bool {
        let before = self.shards[shard].free_slot_bytes.fetch_add(bytes, Ordering::Relaxed);
        passes_a_grain(before, bytes)
    }

    /// Slots were taken from spans, or a span of free slots went away.
    pub fn subtract_free_slots(&self, shard: usize, bytes: usize) {
        self.shards[shard].free_slot_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A full magazine goes into a depot. Whether the levels are worth a look.
    pub fn add_depot(&self, shard: usize, bytes: usize) -> bool {
        let before = self.shards[shard].depot_bytes.fetch_add(bytes, Ordering::Relaxed);
        passes_a_grain(before, bytes)
    }

    /// A full magazine left a depot.
    pub fn subtract_depot(&self, shard: usize, bytes: usize) {
        self.shards[shard].depot_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of slots in a shard's depots.
    pub fn shard_depot_bytes(&self, shard: usize) -> usize {
        self.shards[shard].depot_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of slots in the depots.
    pub fn depot_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.depot_bytes.load(Ordering::Relaxed)).sum()
    }

    /// Bytes of free slots in spans that are not released: an upper estimate of the holes to come.
    pub fn unreleased_hole_bytes(&self) -> usize {
        let free: usize = self.shards.iter().map(|shard| shard.free_slot_bytes.load(Ordering::Relaxed)).sum();
        free.saturating_sub(self.hole_bytes())
    }

    /// Memory went back to the OS.
    pub fn add_released(&self, bytes: usize) {
        self.released_total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The heap grew, and the thread that grew it released so many bytes instead.
    pub fn add_growth(&self, released_bytes: usize) {
        self.growths.fetch_add(1, Ordering::Relaxed);
        self.inline_released.fetch_add(released_bytes, Ordering::Relaxed);
    }

    /// How often the heap grew.
    pub fn growths(&self) -> usize {
        self.growths.load(Ordering::Relaxed)
    }

    /// All bytes ever released by threads that grew the heap; wraps.
    pub fn inline_released(&self) -> usize {
        self.inline_released.load(Ordering::Relaxed)
    }

    /// All bytes ever given back to the OS; wraps.
    pub fn released_total(&self) -> usize {
        self.released_total.load(Ordering::Relaxed)
    }

    /// Fills in the counters' part of a snapshot.
    pub fn fill(&self, stats: &mut Stats) {
        stats.in_use_bytes = self.in_use_bytes() as u64;
        stats.hole_released_bytes = self.hole_bytes() as u64;
        stats.hole_bytes = self.unreleased_hole_bytes() as u64;
        stats.depot_bytes = self.depot_bytes() as u64;
        stats.released_bytes_total = self.released_total() as u64;
        stats.scavenger_cpu_ns_total = self.scavenger_cpu_ns();
        stats.inline_released_bytes_total = self.inline_released() as u64;
        stats.growths_total = self.growths() as u64;
        stats.refaulted_bytes_total = self.refaulted_total() as u64;
    }

    /// Notes the scavenger's CPU time.
    pub fn set_scavenger_cpu_ns(&self, ns: u64) {
        self.scavenger_cpu_ns.store(ns, Ordering::Relaxed);
    }

    /// The scavenger's CPU time.
    pub fn scavenger_cpu_ns(&self) -> u64 {
        self.scavenger_cpu_ns.load(Ordering::Relaxed)
    }

    /// The scavenger's tick: a clock for ages.
    pub fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Moves the tick on.
    pub fn next_tick(&self) -> u32 {
        self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}
