//! The page heaps: where pages come from, who has them, and how they go back to the OS.
//!
//! Each shard has a page heap. The page heaps own the accounts, which are the floor below. They know nothing of slots,
//! which belong to the floor above.
//!
//! - `single`: one page heap, which is what a heap lock protects: page allocator, arena, pages in flight.
//! - `arena`: reserved address space, made accessible as the page heap grows.
//! - `runs`: takes runs from page heaps and gives runs back. `large`: large objects, which are spans of their own.
//! - `page_cache`: a shard's page cache. `cached_runs`: takes short runs from the page cache.
//! - `growth`: the work after a growth, once the heap lock has dropped. `limit`: the hard limit.
//! - `index`: which chunks have pages to release.
//! - `scavenge`: finds pages to release and marks them allocated. `scavenge_state`: how far the scavenger has come.
//! - `release`: releases the marked pages without a lock, then frees them. `options`: what a release may do.
//! - `records`: releases the memory of span records whose pages are released.
//! - `huge_map`: which parts may be on a huge page. `huge_pages`: advice to the kernel, and the splitting of huge pages.
//!
//! Locks: page cache, heap, scavenge. No two of them nest, except in the fork handlers.

mod arena;
mod cached_runs;
mod growth;
mod huge_map;
mod huge_pages;
mod index;
#[cfg(loom)]
mod inspect;
mod large;
mod limit;
mod options;
mod page_cache;
mod records;
mod release;
mod runs;
mod scavenge;
mod scavenge_state;
mod single;
mod snapshot;

pub use arena::pointer;
pub use huge_map::Cuts;
pub use index::ScavengeIndex;
#[cfg(loom)]
pub use index::Start;
pub use large::Large;
pub use options::{ReleaseOptions, Scavenged};

use core::ops::Range;

use crate::accounts::{Accounts, SHARDS};
use crate::config::{Config, HugePages};
use crate::lock::{CachePadded, ForkLock, Lock, Rank};
use crate::pages::PageCache;
use crate::span::{self, SpanMap};
use crate::sync::{const_unless_loom, repeat};
use crate::sys;
use crate::units::{Chunk, PAGE_BYTES};

use huge_map::HugeMap;
use limit::Limit;
use page_cache::ShardPageCache;
use scavenge_state::ScavengeState;
use single::PageHeap;

/// See the module's header.
pub struct PageHeaps {
    /// The floor below.
    pub accounts: Accounts,
    /// Leads from an address to its span.
    pub span_map: SpanMap,
    index: ScavengeIndex,
    huge_map: HugeMap,
    limit: Limit,
    page_heaps: [CachePadded<Lock<PageHeap>>; SHARDS],
    page_caches: [CachePadded<Lock<ShardPageCache>>; SHARDS],
    scavenge_state: CachePadded<Lock<ScavengeState>>,
}

impl PageHeaps {
    const_unless_loom! {
        /// No pages. The caller calls [`PageHeaps::initialize`] before anything else.
        pub fn new() -> Self {
            Self {
                accounts: Accounts::new(),
                span_map: SpanMap::new(),
                index: ScavengeIndex::new(),
                huge_map: HugeMap::new(),
                limit: Limit::new(),
                page_heaps: repeat![CachePadded::new(Lock::new(Rank::Heap, PageHeap::new())); SHARDS],
                page_caches: repeat![CachePadded::new(Lock::new(Rank::PageCache, ShardPageCache::new())); SHARDS],
                scavenge_state: CachePadded::new(Lock::new(Rank::Scavenge, ScavengeState::new())),
            }
        }
    }

    /// Maps the tables. `false` if the OS gives no memory for them: then the caller may try again.
    pub fn initialize(&self) -> bool {
        if !self.index.initialize() {
            return false;
        }
        if !self.span_map.has_table() {
            let Some(table) = sys::vm::map_metadata(span::TABLE_BYTES) else { return false };
            // SAFETY: the memory is fresh, zeroed, page aligned and never unmapped. The map was not used before.
            unsafe { self.span_map.attach(table) };
        }
        self.limit.set(Limit::NONE);
        self.accounts.initialize();
        true
    }

    /// Takes in the user's settings, before the first growth.
    pub fn configure(&self, config: &Config) {
        self.huge_map.configure(config.huge_pages);
        match config.hard_limit_bytes {
            // Under a hard limit every page may count, so no page heap leaves pages unused at its beginning.
            Some(bytes) => self.limit.set(usize::try_from(bytes).unwrap_or(usize::MAX) / PAGE_BYTES),
            // Only the first page heap begins small: a process that uses the others is no longer small.
            None => self.page_heaps[0].lock().begins_small = matches!(config.huge_pages, HugePages::Auto),
        }
    }

    /// The page heap that a mapped chunk belongs to.
    fn page_heap_of(&self, chunk: Chunk) -> &Lock<PageHeap> {
        &self.page_heaps[self.index.owner(chunk)]
    }

    /// The page heaps of the shards in use. The other page heaps have no pages, and no fork handler takes their locks.
    fn page_heaps_in_use(&self) -> impl Iterator<Item = &Lock<PageHeap>> {
        self.page_heaps[self.accounts.shards.all()].iter().map(|page_heap| &**page_heap)
    }

    /// The highest mapped chunk.
    fn high_chunk(&self) -> Chunk {
        self.page_heaps_in_use()
            .filter_map(|page_heap| page_heap.lock().allocator.high_chunk())
            .max()
            .unwrap_or_default()
    }

    /// All pages of all page heaps, in whatever state.
    pub fn mapped_pages(&self) -> usize {
        self.page_heaps_in_use().map(|page_heap| page_heap.lock().mapped_pages()).sum()
    }

    /// Takes each heap lock of `shards` for a moment. See `Heap::synchronized_levels`.
    pub fn pass_through_locks(&self, shards: Range<usize>) {
        for page_heap in &self.page_heaps[shards] {
            drop(page_heap.lock());
        }
    }

    /// Calls `visit` with each lock of this floor, outermost first.
    pub fn each_lock<'a>(&'a self, shards: Range<usize>, visit: &mut dyn FnMut(&'a dyn ForkLock)) {
        for shard_cache in &self.page_caches {
            visit(&**shard_cache);
        }
        for page_heap in &self.page_heaps[shards] {
            visit(&**page_heap);
        }
        visit(&*self.scavenge_state);
    }

    /// Counts again in the child of a fork. Threads that the child does not have held pages, and nobody will bring these
    /// pages back. The child's only thread holds no page at this moment. So a page that is neither free nor cached counts
    /// as in use. A chunk that a scavenger had claimed and not searched is marked again.
    pub fn recount_in_child(&self) {
        let mut cached = 0;
        for shard_cache in &self.page_caches {
            cached += shard_cache.lock().current.as_ref().map_or(0, PageCache::free_pages);
        }
        let mut in_use = 0;
        for (shard, page_heap) in self.page_heaps[self.accounts.shards.all()].iter().enumerate() {
            let mut page_heap = page_heap.lock();
            page_heap.in_flight_pages = 0;
            self.publish_retained(shard, &mut page_heap);
            for range in page_heap.allocator.mapped_ranges() {
                for chunk in (range.first.0..range.first.0 + range.chunks).map(Chunk) {
                    if page_heap.allocator.chunk_retained(chunk) != 0 {
                        self.index.mark_chunk(chunk);
                    }
                }
            }
            in_use += page_heap.mapped_pages() - page_heap.allocator.free_pages();
        }
        self.accounts.counters.set_in_use_in_child(in_use - cached);
        self.huge_map.restart_splitting_in_child();
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
