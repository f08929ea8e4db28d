//! A fresh heap for one execution, and users who check that each slot they get is theirs alone.

use core::ptr::NonNull;
use loom::cell::UnsafeCell;
use loom::sync::atomic::Ordering;
use loom::thread::{self, JoinHandle};
use neap::internals::caches::{Free, MAGAZINE_BYTES, Magazine, ThreadCache, ThreadWords, allocate_from_spare};
use neap::internals::heap::Heap;
use neap::internals::size_class::{info, is_split};
use neap::internals::sys::{sim, vm};
use neap::internals::units::{Page, Run};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

/// A heap, and the holders of its slots.
pub struct World {
    pub heap: Heap,
    sentinel_cache: *mut ThreadCache,
    /// A loom cell for each slot that was ever handed out. The slot's holder writes to the cell, so loom reports a race if there
    /// are two holders at once, or two in turn whose uses are not ordered. The map itself is no part of the model.
    slots: Mutex<BTreeMap<usize, Arc<Holder>>>,
}

struct Holder(UnsafeCell<bool>);

// SAFETY: the models check this: loom reports accesses that are not ordered.
unsafe impl Sync for Holder {}
// SAFETY: a flag may be moved.
unsafe impl Send for Holder {}

// SAFETY: the heap is made to be shared; in production it is a static.
unsafe impl Sync for World {}
// SAFETY: as above; no part of it belongs to a thread.
unsafe impl Send for World {}

impl World {
    /// An initialised heap without pages. Its sentinel block and its sentinel cache are freed with the execution.
    pub fn new() -> Arc<World> {
        let sentinel = vm::map_metadata(MAGAZINE_BYTES).unwrap();
        let sentinel_cache = vm::map_metadata(size_of::<ThreadCache>()).unwrap().cast::<ThreadCache>();
        let heap = Heap::new();
        // SAFETY: fresh metadata, aligned to more than both need, that lives as long as the execution; the heap is fresh.
        unsafe {
            let sentinel = Magazine::create(sentinel).full_top();
            sentinel_cache.write(ThreadCache::new(sentinel));
            assert!(heap.initialize(sentinel_cache, sentinel));
        }
        Arc::new(World { heap, sentinel_cache: sentinel_cache.as_ptr(), slots: Mutex::default() })
    }

    fn cell(&self, slot: usize) -> Arc<Holder> {
        let mut slots = self.slots.lock().unwrap();
        slots.entry(slot).or_insert_with(|| Arc::new(Holder(UnsafeCell::new(false)))).clone()
    }

    /// Notes that the caller holds a slot that nobody held.
    pub fn hold(&self, slot: usize) {
        // SAFETY: the allocator says that the slot is the caller's; loom checks this.
        self.cell(slot).0.with_mut(|held| unsafe {
            assert!(!*held, "slot {slot:#x} was handed out twice");
            *held = true;
        });
    }

    /// Notes that the caller gives a slot up.
    pub fn let_go(&self, slot: usize) {
        // SAFETY: the caller holds the slot.
        self.cell(slot).0.with_mut(|held| unsafe {
            assert!(*held, "slot {slot:#x} was not held");
            *held = false;
        });
    }

    /// How many slots are held.
    pub fn held(&self) -> usize {
        let slots = self.slots.lock().unwrap();
        // SAFETY: called when all users are done.
        slots.values().filter(|cell| cell.0.with(|held| unsafe { *held })).count()
    }

    /// At the end: the accounts are exact, every retained page is resident, and no released page is.
    pub fn check_pages(&self) {
        let (in_use, retained, _) = self.heap.page_heaps().check_accounts();
        let resident = sim::all_resident_pages();
        assert_eq!(resident, retained + in_use, "resident pages are not those in use and those retained");
    }
}

/// A thread that allocates and frees as `GlobalAlloc` does, with words that are not in thread-local storage.
pub struct User {
    pub world: Arc<World>,
    pub words: &'static ThreadWords,
}

// SAFETY: the words are the user's, who may move to another thread before it begins.
unsafe impl Send for User {}

impl User {
    /// A thread with the words of a thread that begins.
    pub fn new(world: &Arc<World>) -> User {
        let place = vm::map_metadata(size_of::<ThreadWords>()).unwrap().cast::<ThreadWords>();
        let words = ThreadWords {
            fast: neap::internals::sync::atomic::AtomicPtr::new(world.sentinel_cache),
            own: neap::internals::sync::atomic::AtomicPtr::new(core::ptr::null_mut()),
            inside: neap::internals::sync::atomic::AtomicUsize::new(0),
        };
        // SAFETY: fresh metadata, aligned to more than needed; it lives as long as the execution, so longer than any thread.
        unsafe {
            place.write(words);
            User { world: Arc::clone(world), words: &*place.as_ptr() }
        }
    }

    /// The cache that an operation follows.
    ///
    /// The processor does two things that loom cannot express. membarrier stops the owner between two instructions, so an
    /// operation that begins later reads the new word; the fence stands for this (README.md has the argument). Loads through
    /// the word depend on its value; the Acquire stands for this.
    fn fast(&self) -> &ThreadCache {
        neap::internals::lock::light_barrier();
        // SAFETY: the word points at the thread's cache or the sentinel cache.
        unsafe { &*self.words.fast.load(Ordering::Acquire) }
    }

    /// The thread's cache. If the thread has none, this call makes the cache.
    fn cache(&self) -> Option<&ThreadCache> {
        // SAFETY: the thread's own words; a cache is made for a thread that has none and had none.
        unsafe {
            match self.words.cache() {
                None if !self.words.is_gone() => self.world.heap.caches().make_cache(self.words),
                cache => cache,
            }
        }
    }

    /// Allocates a slot; 0 if there is no memory.
    pub fn allocate_raw(&self, class: usize) -> usize {
        // SAFETY: read just now.
        let slot = unsafe { self.fast().pop(class) };
        if slot != 0 {
            return slot;
        }
        // SAFETY: the words are the thread's own.
        if let Some(cache) = unsafe { self.words.cache() } {
            let object = allocate_from_spare(cache, class);
            if !object.is_null() {
                return object.addr();
            }
        }
        self.world.heap.allocate(self.cache(), class).addr()
    }

    /// Frees a slot without a look at its holder.
    pub fn free_raw(&self, class: usize, slot: usize) {
        // SAFETY: read just now; the slot is the caller's.
        if !unsafe { self.fast().push(class, slot) } {
            let object = NonNull::new(core::ptr::without_provenance_mut(slot)).unwrap();
            // SAFETY: the slot is the caller's.
            unsafe { self.world.heap.deallocate(self.cache(), class, object, Free::ByLayout) };
        }
    }

    /// Frees a slot of a split class as C does, by its address: it goes onto the spare magazine.
    pub fn free_by_address_raw(&self, class: usize, slot: usize) {
        assert!(is_split(class));
        // SAFETY: read just now; the slot is the caller's.
        if !unsafe { self.fast().push_spare(class, slot) } {
            let object = NonNull::new(core::ptr::without_provenance_mut(slot)).unwrap();
            // SAFETY: the slot is the caller's.
            unsafe { self.world.heap.deallocate(self.cache(), class, object, Free::ByAddress) };
        }
    }

    /// Allocates a slot and holds it.
    pub fn allocate(&self, class: usize) -> usize {
        let slot = self.allocate_raw(class);
        assert_ne!(slot, 0, "there was memory for a slot");
        self.world.hold(slot);
        slot
    }

    /// Frees a slot that the caller holds.
    pub fn free(&self, class: usize, slot: usize) {
        self.world.let_go(slot);
        self.free_raw(class, slot);
    }

    /// Frees a slot that the caller holds, by its address.
    pub fn free_by_address(&self, class: usize, slot: usize) {
        self.world.let_go(slot);
        self.free_by_address_raw(class, slot);
    }

    /// Frees slots that the caller holds.
    pub fn free_all(&self, class: usize, slots: impl IntoIterator<Item = usize>) {
        slots.into_iter().for_each(|slot| self.free(class, slot));
    }

    /// Allocates a slot and frees it.
    pub fn use_slot(&self, class: usize) {
        let slot = self.allocate(class);
        self.free(class, slot);
    }

    /// Starts the thread. It does `work` beside the other threads.
    pub fn begin<T: 'static>(self, work: impl FnOnce(&User) -> T + 'static) -> JoinHandle<T> {
        thread::spawn(move || work(&self))
    }

    /// The thread's exit.
    pub fn exit(&self) {
        // SAFETY: the words are the thread's own.
        unsafe { self.world.heap.give_back_cache(self.words) };
    }
}

/// The pages under a slot of a class whose slots are whole pages.
pub fn pages_of(class: usize, slot: usize) -> Run {
    Run { first: Page::containing(slot), pages: info(class).slot_bytes as usize / neap::internals::units::PAGE_BYTES }
}

/// Takes pages, and tells the simulated kernel that they are owned.
pub fn use_pages(world: &World, pages: usize) -> Run {
    let run = world.heap.take_pages(pages).expect("there was memory").run;
    sim::mark_owned(run);
    run
}

/// Takes pages and gives them back.
pub fn use_and_free_pages(world: &World, pages: usize) {
    let run = use_pages(world, pages);
    free_pages(world, run);
}

/// Gives pages back that [`use_pages`] took.
pub fn free_pages(world: &World, run: Run) {
    sim::clear_owned(run);
    world.heap.free_pages(run);
}
