//! The heap: ties page allocator, spans, depots, centrals and the scavenger's state together and owns their locks.
//!
//! Everything takes `&Heap`; there is no static below `global`, so a test or a model builds as many heaps as it likes.
//!
//! Locks, outermost first: registry, depot, central, page cache, heap, scavenge, metadata. Almost nothing nests: the
//! code drops one lock before it takes the next (ARCHITECTURE.md has the table). System calls are made with no lock
//! held, except growth's mapping step.
//!
//! Orderings: the words set by `initialize` are Relaxed: whoever has the heap got it from who initialised it.

mod counters;
mod everything;
mod fork;
mod front;
mod huge;
mod index;
mod large;
mod limit;
#[cfg(loom)]
mod modelled;
mod page_heap;
mod release_holes;
mod runs;
mod scavenge;
mod shard_page_cache;
mod shards;
mod spans;
mod sweep;
mod wakeup;

pub use counters::Counters;
pub use fork::ForkLock;
#[cfg(any(serves_c, loom))]
pub use front::allocate_from_spare;
pub use front::{Free, allocate_slow, deallocate_slow, give_back_cache};
pub use large::Large;
pub use scavenge::{ReleaseOptions, Scavenged};
pub use wakeup::Wakeup;

use core::ptr::NonNull;

use crate::central::Central;
use crate::config::{Config, HugePages};
use crate::depot::Depot;
use crate::lock::{CachePadded, Lock, Rank};
use crate::magazine::Word;
use crate::metadata::MetadataStore;
use crate::pages::PageCache;
use crate::registry::Registry;
use crate::size_class::CLASSES;
use crate::span_map::{self, SpanMap};
use crate::stats::Stats;
use crate::sync::plain;
use crate::sync::{const_unless_loom, repeat};
use crate::sys;
use crate::thread_cache::ThreadCache;
use crate::units::{Chunk, PAGE_BYTES};
use crate::working_set;

use huge::HugeMap;
#[cfg(not(loom))]
use index::ScavengeIndex;
#[cfg(loom)]
pub use index::{ScavengeIndex, Start};
use limit::Limit;
use page_heap::PageHeap;
use scavenge::ScavengeState;
use shard_page_cache::ShardPageCache;
use shards::{SHARDS, Shards};

/// The heap.
pub struct Heap {
    pub(crate) map: SpanMap,
    pub(crate) counters: Counters,
    pub(crate) index: ScavengeIndex,
    pub(crate) huge: HugeMap,
    pub(crate) wakeup: Wakeup,
    pub(crate) shards: Shards,
    pub(crate) metadata: MetadataStore,
    pub(crate) registry: Lock<Registry>,
    pub(crate) pages: [CachePadded<Lock<PageHeap>>; SHARDS],
    pub(crate) limit: Limit,
    pub(crate) scavenge: CachePadded<Lock<ScavengeState>>,
    pub(crate) page_caches: [CachePadded<Lock<ShardPageCache>>; SHARDS],
    pub(crate) depots: [[CachePadded<Lock<Depot>>; CLASSES]; SHARDS],
    pub(crate) centrals: [[CachePadded<Lock<Central>>; CLASSES]; SHARDS],
    /// The static cache that threads without one follow, and its sentinel.
    pub(crate) sentinel_cache: plain::AtomicPtr<ThreadCache>,
    pub(crate) sentinel: plain::AtomicPtr<Word>,
    pub(crate) os_page_bytes: plain::AtomicUsize,
}

impl Heap {
    const_unless_loom! {
        /// A heap without memory. [`Heap::initialize`] comes before anything else: what does not begin with 0 gets its value
        /// there, so that a static heap, which is large, takes no room in the program's file.
        pub fn new() -> Self {
            Self {
                map: SpanMap::new(),
                counters: Counters::new(),
                index: ScavengeIndex::new(),
                huge: HugeMap::new(),
                wakeup: Wakeup::new(),
                shards: Shards::new(),
                metadata: MetadataStore::new(),
                registry: Lock::new(Rank::Registry, Registry::new()),
                pages: repeat![CachePadded::new(Lock::new(Rank::Heap, PageHeap::new())); SHARDS],
                limit: Limit::new(),
                scavenge: CachePadded::new(Lock::new(Rank::Scavenge, ScavengeState::new())),
                page_caches: repeat![CachePadded::new(Lock::new(Rank::PageCache, ShardPageCache::new())); SHARDS],
                depots: repeat![repeat![CachePadded::new(Lock::new(Rank::Depot, Depot::new())); CLASSES]; SHARDS],
                centrals: repeat![repeat![CachePadded::new(Lock::new(Rank::Central, Central::new())); CLASSES]; SHARDS],
                sentinel_cache: plain::AtomicPtr::new(core::ptr::null_mut()),
                sentinel: plain::AtomicPtr::new(core::ptr::null_mut()),
                os_page_bytes: plain::AtomicUsize::new(0),
            }
        }
    }

    /// Maps the heap's tables. `false` if the OS gives no memory for them; may be tried again then.
    ///
    /// # Safety
    /// Called until it succeeds and not again, by one thread at a time, before any other use. `sentinel_cache` is a cache all
    /// of whose tops are `sentinel`, the last word of a null block; both stay valid and are never written.
    pub unsafe fn initialize(&self, sentinel_cache: NonNull<ThreadCache>, sentinel: *const Word) -> bool {
        if !self.index.initialize() {
            return false;
        }
        if !self.map.has_table() {
            let Some(map_table) = sys::vm::map_metadata(span_map::TABLE_BYTES) else { return false };
            // SAFETY: zeroed, fresh, page aligned and never unmapped.
            unsafe { self.map.attach(map_table) };
        }
        self.sentinel_cache.store(sentinel_cache.as_ptr(), plain::Ordering::Relaxed);
        self.sentinel.store(sentinel.cast_mut(), plain::Ordering::Relaxed);
        self.wakeup.begin(0);
        self.limit.set(Limit::NONE);
        self.shards.configure(sys::thread::cpus_available());
        self.os_page_bytes.store(sys::page::os_page_bytes(), plain::Ordering::Release);
        true
    }

    /// Takes in the user's settings; before the heap's first growth.
    pub fn configure(&self, config: &Config) {
        self.huge.configure(config.huge_pages);
        match config.hard_limit_bytes {
            // Every page may count then, so none is left unused.
            Some(bytes) => self.limit.set(usize::try_from(bytes).unwrap_or(usize::MAX) / PAGE_BYTES),
            // Only the first page heap: the others are used by a process that is no longer small.
            None => self.pages[0].lock().begins_small = matches!(config.huge_pages, HugePages::Auto),
        }
    }

    /// The page heap that a mapped chunk belongs to.
    pub(crate) fn page_heap_of(&self, chunk: Chunk) -> &Lock<PageHeap> {
        &self.pages[self.index.owner(chunk)]
    }

    /// The page heaps of the shards in use. The others have no pages, and no fork handler takes their locks.
    pub(crate) fn page_heaps(&self) -> impl Iterator<Item = &Lock<PageHeap>> {
        self.pages[self.shards.all()].iter().map(|heap| &**heap)
    }

    /// The highest mapped chunk.
    pub(crate) fn high_chunk(&self) -> Chunk {
        self.page_heaps().filter_map(|heap| heap.lock().allocator.high_chunk()).max().unwrap_or_default()
    }

    /// The kernel's page size in bytes.
    #[inline]
    pub(crate) fn os_page_bytes(&self) -> usize {
        self.os_page_bytes.load(plain::Ordering::Relaxed)
    }

    /// Bytes that a release handles at least, and is aligned to.
    #[inline]
    pub(crate) fn release_unit_pages(&self) -> usize {
        (self.os_page_bytes() / PAGE_BYTES).max(1)
    }

    /// A snapshot of the accounts. Exact when nothing else uses the heap; otherwise each figure is of a slightly different
    /// moment.
    pub fn stats(&self) -> Stats {
        let (mut mapped, mut free, mut scavenged, mut in_flight, mut reserved, mut cached) = (0, 0, 0, 0, 0, 0);
        for heap in self.page_heaps() {
            let heap = heap.lock();
            mapped += heap.mapped_pages();
            free += heap.allocator.free_pages();
            scavenged += heap.allocator.scavenged_pages();
            in_flight += heap.in_flight_pages;
            reserved += heap.arena.reserved_bytes();
        }
        for cache in &self.page_caches {
            cached += cache.lock().cache.as_ref().map_or(0, PageCache::free_pages);
        }
        let (generation, low_water) = self.scavenge.lock().progress();
        let bytes = |pages: usize| (pages * PAGE_BYTES) as u64;
        Stats {
            reserved_bytes: reserved as u64,
            mapped_bytes: bytes(mapped),
            in_use_bytes: self.counters.in_use_bytes() as u64,
            retained_bytes: bytes(free - scavenged),
            released_bytes: bytes(scavenged),
            in_flight_bytes: bytes(in_flight),
            cached_bytes: bytes(cached),
            hole_released_bytes: self.counters.hole_bytes() as u64,
            hole_bytes: self.counters.unreleased_hole_bytes() as u64,
            depot_bytes: self.counters.depot_bytes() as u64,
            metadata_bytes: self.metadata.mapped_bytes() as u64,
            threads: self.registry.lock().live() as u64,
            released_bytes_total: self.counters.released_total() as u64,
            scavenger_cpu_ns_total: self.counters.scavenger_cpu_ns(),
            inline_released_bytes_total: self.counters.inline_released() as u64,
            growths_total: self.counters.growths() as u64,
            scavenges_total: generation,
            scavenged_down_to_address: low_water.map_or(0, |page| page.address() as u64),
            refaulted_bytes_total: self.counters.refaulted_total() as u64,
            ..Stats::default()
        }
    }
}

/// What the scavenger's thread needs of the heap.
impl Heap {
    /// The alarm that frees ring.
    pub fn wakeup(&self) -> &Wakeup {
        &self.wakeup
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The levels that the alarm compares: retained bytes, and bytes of free slots that are not released, in spans or in
    /// depots.
    pub fn levels(&self) -> (u64, u64) {
        let slots = self.counters.unreleased_hole_bytes() + self.counters.depot_bytes();
        (self.counters.retained_bytes() as u64, slots as u64)
    }

    /// The levels for a scavenger that is about to park, read after it has passed through the locks that frees pass
    /// through. A free that came before has raised the level that is read here; one that comes later finds the scavenger
    /// parked, and the levels it published. Without this a free could still compare with an older, higher level, and
    /// nobody would look again.
    pub fn settled_levels(&self) -> (u64, u64) {
        // Threads begin to use a shard under this lock, so it is with shards as with levels.
        drop(self.registry.lock());
        let shards = self.shards.all();
        for depot in self.depots[shards.clone()].as_flattened() {
            drop(depot.lock());
        }
        for central in self.centrals[shards.clone()].as_flattened() {
            drop(central.lock());
        }
        for heap in &self.pages[shards] {
            drop(heap.lock());
        }
        self.levels()
    }

    /// The epoch that it is, for what has not been needed in one.
    fn epoch(&self) -> u32 {
        if cfg!(loom) { 0 } else { working_set::epoch(sys::time::monotonic_ns()) }
    }

    /// Moves the clock of ages on.
    pub fn next_tick(&self) {
        self.counters.next_tick();
    }

    /// Notes the CPU time that the scavenger has used, for the statistics.
    pub fn note_scavenger_cpu(&self, ns: u64) {
        self.counters.set_scavenger_cpu_ns(ns);
    }
}
