//! The heap: ties page allocator, spans, depots, centrals and the scavenger's state together and owns their locks.
//!
//! Everything takes `&Heap`; there is no static below `global`, so a test or a model builds as many heaps as it likes.
//!
//! Locks, outermost first: registry, depot, central, page cache, heap, scavenge, metadata. Almost nothing nests: the
//! code drops one lock before it takes the next (ARCHITECTURE.md has the table). System calls are made with no lock
//! held, except growth's mapping step.

mod alarm;
mod counters;
mod fork;
mod front;
mod huge;
mod index;
mod large;
mod page_heap;
mod release_holes;
mod runs;
mod scavenge;
mod spans;
mod sweep;

pub use counters::Counters;
pub use fork::ForkLock;
pub use front::{allocate_slow, deallocate_slow, give_back_cache};
pub use large::Large;
pub use scavenge::{Effort, Scavenged};

use core::ptr::NonNull;

use crate::central::Central;
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
use crate::units::PAGE_BYTES;

use alarm::Alarm;
use huge::HugeMap;
use index::ScavengeIndex;
use page_heap::PageHeap;
use scavenge::ScavengeState;

/// Page caches: threads are spread over them.
pub const PAGE_CACHES: usize = if cfg!(loom) { 1 } else { 8 };

/// The heap.
pub struct Heap {
    pub(crate) map: SpanMap,
    pub(crate) counters: Counters,
    pub(crate) index: ScavengeIndex,
    pub(crate) huge: HugeMap,
    pub(crate) alarm: Alarm,
    pub(crate) metadata: MetadataStore,
    pub(crate) registry: Lock<Registry>,
    pub(crate) pages: CachePadded<Lock<PageHeap>>,
    pub(crate) scavenge: CachePadded<Lock<ScavengeState>>,
    pub(crate) page_caches: [CachePadded<Lock<Option<PageCache>>>; PAGE_CACHES],
    pub(crate) depots: [CachePadded<Lock<Depot>>; CLASSES],
    pub(crate) centrals: [CachePadded<Lock<Central>>; CLASSES],
    /// The static cache that threads without one follow, and its sentinel.
    pub(crate) no_cache: plain::AtomicPtr<ThreadCache>,
    pub(crate) sentinel: plain::AtomicPtr<Word>,
    pub(crate) os_page_bytes: plain::AtomicUsize,
}

impl Heap {
    const_unless_loom! {
        /// A heap without memory. [`Heap::initialize`] comes before anything else.
        pub fn new() -> Self {
            Self {
                map: SpanMap::new(),
                counters: Counters::new(),
                index: ScavengeIndex::new(),
                huge: HugeMap::new(),
                alarm: Alarm::new(),
                metadata: MetadataStore::new(),
                registry: Lock::new(Rank::Registry, Registry::new()),
                pages: CachePadded::new(Lock::new(Rank::Heap, PageHeap::new())),
                scavenge: CachePadded::new(Lock::new(Rank::Scavenge, ScavengeState::new())),
                page_caches: repeat![CachePadded::new(Lock::new(Rank::PageCache, None)); PAGE_CACHES],
                depots: repeat![CachePadded::new(Lock::new(Rank::Depot, Depot::new())); CLASSES],
                centrals: repeat![CachePadded::new(Lock::new(Rank::Central, Central::new())); CLASSES],
                no_cache: plain::AtomicPtr::new(core::ptr::null_mut()),
                sentinel: plain::AtomicPtr::new(core::ptr::null_mut()),
                os_page_bytes: plain::AtomicUsize::new(PAGE_BYTES),
            }
        }
    }

    /// Maps the heap's tables. `false` if the OS gives no memory for them; may be tried again then.
    ///
    /// # Safety
    /// Called until it succeeds and not again, by one thread at a time, before any other use. `no_cache` is a cache all
    /// of whose tops are `sentinel`, the last word of a null block; both stay valid and are never written.
    pub unsafe fn initialize(&self, no_cache: NonNull<ThreadCache>, sentinel: *const Word) -> bool {
        let Some(map_table) = sys::vm::map_metadata(span_map::TABLE_BYTES) else { return false };
        let Some(root_table) = sys::vm::map_metadata(size_of::<crate::pages::RootTable>()) else {
            // SAFETY: mapped above, used by nobody.
            unsafe { sys::vm::unmap(map_table, span_map::TABLE_BYTES) };
            return false;
        };
        // SAFETY: zeroed, fresh, page aligned and never unmapped; all-zero bytes are a valid root table (`pages`).
        unsafe {
            self.map.attach(map_table);
            self.pages.lock().attach(root_table.cast().as_mut());
        }
        self.index.initialize();
        self.no_cache.store(no_cache.as_ptr(), plain::Ordering::Relaxed);
        self.sentinel.store(sentinel.cast_mut(), plain::Ordering::Relaxed);
        self.os_page_bytes.store(sys::page::os_page_bytes(), plain::Ordering::Release);
        true
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
        let (mapped, free, scavenged, in_flight, reserved) = {
            let pages = self.pages.lock();
            (
                pages.allocator.mapped_pages(),
                pages.allocator.free_pages(),
                pages.allocator.scavenged_pages(),
                pages.in_flight_pages,
                pages.arena.reserved_bytes(),
            )
        };
        let mut cached = 0;
        for cache in &self.page_caches {
            cached += cache.lock().as_ref().map_or(0, PageCache::free_pages);
        }
        let holes = self.counters.hole_bytes();
        Stats {
            reserved: reserved as u64,
            mapped: (mapped * PAGE_BYTES) as u64,
            in_use: (self.counters.in_use_bytes() as u64).saturating_sub(holes as u64),
            retained: ((free - scavenged) * PAGE_BYTES) as u64,
            released: (scavenged * PAGE_BYTES + holes) as u64,
            in_flight: (in_flight * PAGE_BYTES) as u64,
            cached: (cached * PAGE_BYTES) as u64,
            metadata: self.metadata.mapped_bytes() as u64,
            ..Stats::default()
        }
    }
}
