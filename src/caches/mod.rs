//! The caches: what stands between threads and spans, so that an ordinary allocation takes no lock.
//!
//! Each thread has a cache of magazines. Each shard has a depot of full and empty magazines for each size class. The caches
//! own the centrals, which are the floor below.
//!
//! - `magazine`: a block of slot addresses, used as a stack.
//! - `thread_cache`: a thread's loaded and spare magazines, and the protocol by which another thread drains them.
//! - `slow_path`: what happens when a magazine is empty or full. `spare`: the exchange of a thread's two magazines.
//! - `lifecycle`: how a thread gets a cache and gives the cache back. `registry`: every live cache.
//! - `depot`: one depot, which is what a depot lock protects. `depots`: trading with the depots of all shards.
//! - `drain`: empties the magazines of idle threads. `trim`: empties the depots.
//! - `metadata`: memory for magazines and caches.
//!
//! Orderings: the address of the sentinel cache is set once. Whoever has the heap got the heap from the thread that
//! initialised it, so a Relaxed load sees the address.
//!
//! Locks: registry, depot, metadata. No two of them nest, except in the fork handlers.

mod depot;
mod depots;
mod drain;
mod lifecycle;
mod magazine;
mod metadata;
mod registry;
mod slow_path;
mod spare;
mod thread_cache;
mod trim;

#[cfg(loom)]
pub use magazine::MAGAZINE_BYTES;
pub use magazine::{Magazine, Word};
pub use slow_path::Free;
#[cfg(any(serves_c, loom))]
pub use spare::allocate_from_spare;
#[cfg(loom)]
pub use thread_cache::gone;
pub use thread_cache::{ThreadCache, ThreadWords};

use core::ops::Range;
use core::ptr::NonNull;

use crate::accounts::stats::Stats;
use crate::accounts::{Accounts, SHARDS};
use crate::central::Centrals;
use crate::lock::{CachePadded, ForkLock, Lock, Rank};
use crate::size_class::{CLASSES, TABLE};
use crate::sync::plain::{AtomicPtr, Ordering};
use crate::sync::{const_unless_loom, repeat};

use depot::Depot;
use metadata::MetadataStore;
use registry::Registry;

/// See the module's header.
pub struct Caches {
    /// The floor below.
    pub centrals: Centrals,
    registry: Lock<Registry>,
    depots: [[CachePadded<Lock<Depot>>; CLASSES]; SHARDS],
    metadata: MetadataStore,
    /// The cache that threads without a cache follow: empty and full at once.
    sentinel_cache: AtomicPtr<ThreadCache>,
    /// The last word of the sentinel block. All tops of the sentinel cache point at it.
    sentinel: AtomicPtr<Word>,
}

impl Caches {
    const_unless_loom! {
        /// No caches. The caller calls [`Caches::initialize`] before anything else.
        pub fn new() -> Self {
            Self {
                centrals: Centrals::new(),
                registry: Lock::new(Rank::Registry, Registry::new()),
                depots: repeat![repeat![CachePadded::new(Lock::new(Rank::Depot, Depot::new())); CLASSES]; SHARDS],
                metadata: MetadataStore::new(),
                sentinel_cache: AtomicPtr::new(core::ptr::null_mut()),
                sentinel: AtomicPtr::new(core::ptr::null_mut()),
            }
        }
    }

    /// Takes in the sentinel cache, and initialises the floors below. `false` if the OS gives no memory; the caller may try
    /// again then.
    ///
    /// # Safety
    /// All tops of `sentinel_cache` are `sentinel`, the last word of a null block. Both stay valid and are never written.
    pub unsafe fn initialize(&self, sentinel_cache: NonNull<ThreadCache>, sentinel: *const Word) -> bool {
        self.sentinel_cache.store(sentinel_cache.as_ptr(), Ordering::Relaxed);
        self.sentinel.store(sentinel.cast_mut(), Ordering::Relaxed);
        self.centrals.page_heaps.initialize()
    }

    /// The accounts: the lowest floor.
    #[inline]
    fn accounts(&self) -> &Accounts {
        self.centrals.accounts()
    }

    /// The shard that a thread goes to first.
    pub fn shard_of(&self, cache: &ThreadCache) -> usize {
        self.accounts().shards.of(cache.number.get())
    }

    /// Spreads the threads over more shards once enough memory is in use. A slow path calls it at its end, with no lock
    /// held. The number of shards changes under the registry's lock, so the number stays the same during a fork.
    pub fn use_more_shards(&self) {
        let (shards, in_use_bytes) = (&self.accounts().shards, self.accounts().counters.in_use_bytes());
        if shards.wants_more(in_use_bytes) {
            let _registry = self.registry.lock();
            // Another thread may have been faster.
            if shards.wants_more(in_use_bytes) {
                shards.double();
            }
        }
    }

    /// Whether any thread has a cache. A thread of the program that has allocated keeps its cache until it exits.
    pub fn has_caches(&self) -> bool {
        self.registry.lock().live() != 0
    }

    /// Memory that is never given back, for the state of the floors above.
    pub fn metadata(&self, bytes: usize) -> Option<NonNull<u8>> {
        self.metadata.allocate(bytes)
    }

    /// Fills in this floor's part of a snapshot, and the parts of the floors below.
    pub fn fill(&self, stats: &mut Stats) {
        self.centrals.fill(stats);
        let shards = self.accounts().shards.all().len() * CLASSES;
        let in_place = shards * (size_of::<CachePadded<Lock<Depot>>>() + Centrals::CENTRAL_BYTES);
        stats.metadata_bytes += (self.metadata.used_bytes() + in_place) as u64;
        stats.threads = self.registry.lock().live() as u64;
    }

    /// Takes and releases each lock that frees take: see `Heap::synchronized_levels`.
    pub fn pass_through_locks(&self) {
        // The number of shards grows under this lock. So the number that is read below covers the shards of all earlier frees.
        drop(self.registry.lock());
        let shards = self.accounts().shards.all();
        for depot in self.depots[shards.clone()].as_flattened() {
            drop(depot.lock());
        }
        self.centrals.pass_through_locks(shards);
    }

    /// Calls `visit` with every lock, outermost first: the registry's, then the locks of `shards` and of the floors below,
    /// then the metadata store's. Page caches are visited in all shards, because the statistics read all of them.
    ///
    /// `shards` answers which shards are in use. Their number changes under the registry's lock. So a caller that takes the
    /// locks reads the number once the registry's lock is taken, and a caller that releases them reads it before. Otherwise
    /// the walk could release the lock of a shard that came into use meanwhile, a lock that was never taken.
    pub fn each_lock<'a>(&'a self, shards: impl FnOnce() -> Range<usize>, visit: &mut dyn FnMut(&'a dyn ForkLock)) {
        visit(&self.registry);
        let shards = shards();
        for depot in self.depots[shards.clone()].as_flattened() {
            visit(&**depot);
        }
        self.centrals.each_lock(shards, visit);
        visit(self.metadata.lock_for_fork());
    }

    /// In the child of a fork: counts again what each floor holds, since another thread may have stopped between a lock and
    /// its counter.
    pub fn recount_in_child(&self) {
        self.centrals.recount_in_child();
        for shard in self.accounts().shards.all() {
            let full =
                |class: usize| self.depots[shard][class].lock().full_count() as usize * depot::magazine_bytes(class);
            self.accounts().counters.set_depot_in_child(shard, (0..TABLE.len()).map(full).sum());
        }
    }

    /// Ends the process unless `address` is a slot of the class that is free neither in its span nor in the calling
    /// thread's magazines. The magazines of other threads and depots are not searched: a flush notices double frees there.
    #[cfg(debug_assertions)]
    pub fn check_free(&self, own: Option<&ThreadCache>, address: usize, class: usize) {
        use crate::central::{Misuse, or_abort};
        or_abort(self.centrals.check_live(address, class));
        if own.is_some_and(|cache| cache.holds(class, address)) {
            or_abort::<()>(Err(Misuse::DoubleFree(address)));
        }
    }
}
