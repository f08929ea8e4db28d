//! The thread cache: a loaded and a spare magazine for each class. A fast path here takes no lock, makes no atomic
//! read-modify-write and touches no span.
//!
//! A thread finds its cache through words of thread-local storage ([`ThreadWords`]). `own` is the thread's cache. Operations
//! follow `fast`, which equals `own` most of the time. `fast` points at the sentinel cache, which is empty and full at once,
//! before the thread has a cache, after it has given the cache back, and while another thread drains the cache. So the fast
//! path needs no test for these states.
//!
//! **Draining the cache of an idle thread** needs no help from the thread and nothing on its fast path. The drainer points
//! `fast` at the sentinel cache and issues a memory barrier on all CPUs (membarrier). An operation that starts later sees
//! the sentinel cache, goes to the slow path and waits there. At most one operation is still under way, stopped anywhere
//! between its load of `fast` and its store of a top. An allocation under way can touch only the word at the top; a free,
//! only the word above. So in a loaded magazine the drainer leaves the topmost slot, takes the slots below it, and writes null
//! in the word below it. Only pushes go onto a spare, so from a spare the drainer takes all slots, and writes null at the top.
//! However the operation ends, the magazine is valid.
//!
//! Invariants:
//! 1. Only the owner writes `tops` and `spares`; in the child of a fork, its thread does so for owners that do not exist. A
//!    drainer writes words of magazines, once it has stopped the owner as above and found the owner outside its slow path.
//! 2. A cache stays registered, and its memory valid, while a drainer has it marked.
//!
//! Orderings: a Release store of a top, `fast`, the mark or `in_slow_path` pairs with the Acquire of the next reader on the
//! other side (models: `drain.rs`). Relaxed loads read the thread's own words. Locks: none. Rejected: a flag around each
//! operation (two more stores), restartable sequences (assembly, no inlining), signals (they belong to the program).

use core::cell::Cell;
use core::ptr::null_mut;

use crate::lock::{Futex, light_barrier};
use crate::size_class::CLASSES;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::sync::repeat;

use super::magazine::{self, MAX_SLOTS, Word};

/// Slots of a thread's first refill. Each further miss doubles the number, so many threads with few objects share spans.
const FIRST_REFILL: u8 = 4;

/// A thread's words in thread-local storage.
#[repr(C)]
pub struct ThreadWords {
    /// The cache that operations follow: the thread's cache or the sentinel cache. The thread and drainers write it.
    pub fast: AtomicPtr<ThreadCache>,
    /// The thread's cache. Null before the thread has a cache, `gone` after it has given the cache back.
    pub own: AtomicPtr<ThreadCache>,
    /// How many slow paths the thread is in: one can call another through the C library. Read when a signal handler forks. The
    /// highest bit says that the thread is between the fork handlers.
    pub inside: AtomicUsize,
}

impl ThreadWords {
    /// The thread's cache. `None` before the thread has a cache, and after it has given the cache back.
    ///
    /// # Safety
    /// The words are the calling thread's.
    #[inline]
    pub unsafe fn cache<'a>(&self) -> Option<&'a ThreadCache> {
        let own = self.own.load(Ordering::Relaxed);
        // SAFETY: null, or this thread's cache, which stays valid until the thread gives the cache back.
        if own == gone() { None } else { unsafe { own.as_ref() } }
    }

    /// Whether the thread has given its cache back.
    #[inline]
    pub fn is_gone(&self) -> bool {
        self.own.load(Ordering::Relaxed) == gone()
    }
}

/// The mark of a thread that has given its cache back.
pub fn gone() -> *mut ThreadCache {
    core::ptr::without_provenance_mut(1)
}

/// A thread's cache.
#[repr(C, align(128))]
pub struct ThreadCache {
    /// Cell number 0 of [`ThreadCache::push_numbered`]: always the sentinel block's last word, so a push finds no room.
    no_class: AtomicPtr<Word>,
    /// The loaded magazines' tops, one cell for each class. Stores are Release: a drainer that sees a new top sees its slot.
    pub(crate) tops: [AtomicPtr<Word>; CLASSES],
    /// The spare magazines' tops. Only the owner's slow path, drainers and frees by address use them.
    pub(crate) spares: [AtomicPtr<Word>; CLASSES],
    /// How many slots the next refill from central takes. Each miss doubles the number.
    pub(crate) refill: [Cell<u8>; CLASSES],
    /// The thread's words, for drainers.
    pub(crate) words: AtomicPtr<ThreadWords>,
    /// Whether the owner is in its slow path. Barriers on both sides pair it with `drain`.
    pub(crate) in_slow_path: AtomicU32,
    /// The mark: [`NOT_DRAINED`] or [`DRAINED`]. The owner waits on it.
    pub(crate) drain: Futex,
    /// Registry links. The registry's lock protects them.
    pub(crate) next: Cell<*mut ThreadCache>,
    pub(crate) previous: Cell<*mut ThreadCache>,
    /// The drainer's list. Whoever marked the cache owns the link.
    pub(crate) next_to_drain: Cell<*mut ThreadCache>,
    /// How many caches were registered before this cache. The number spreads threads over shards.
    pub(crate) number: Cell<usize>,
}

#[cfg(not(loom))]
const _: () = assert!(
    memoffset::offset_of!(ThreadCache, no_class) == 0
        && memoffset::offset_of!(ThreadCache, tops) == size_of::<AtomicPtr<Word>>()
        && memoffset::offset_of!(ThreadCache, spares) == (1 + CLASSES) * size_of::<AtomicPtr<Word>>()
);

// SAFETY: owner and drainers share the cache as the invariants say; only one side touches each plain cell.
unsafe impl Sync for ThreadCache {}

/// No thread drains the cache.
pub const NOT_DRAINED: u32 = 0;
/// A thread drains the cache; the owner waits.
pub const DRAINED: u32 = 1;

impl ThreadCache {
    crate::sync::const_unless_loom! {
        /// A cache that is empty and full at once: all its tops point at `sentinel`, the last word of a null block.
        pub fn new(sentinel: *const Word) -> Self {
            let mut tops = repeat![AtomicPtr::new(null_mut()); CLASSES];
            let mut spares = repeat![AtomicPtr::new(null_mut()); CLASSES];
            let mut class = 0;
            while class < CLASSES {
                tops[class] = AtomicPtr::new(sentinel.cast_mut());
                spares[class] = AtomicPtr::new(sentinel.cast_mut());
                class += 1;
            }
            Self {
                no_class: AtomicPtr::new(sentinel.cast_mut()),
                tops,
                spares,
                refill: repeat![Cell::new(FIRST_REFILL); CLASSES],
                words: AtomicPtr::new(null_mut()),
                in_slow_path: AtomicU32::new(0),
                drain: Futex::new(NOT_DRAINED),
                next: Cell::new(null_mut()),
                previous: Cell::new(null_mut()),
                next_to_drain: Cell::new(null_mut()),
                number: Cell::new(0),
            }
        }
    }

    /// The loaded magazine's top of a class.
    #[inline(always)]
    fn top(&self, class: usize) -> &AtomicPtr<Word> {
        debug_assert!(class < CLASSES);
        // SAFETY: classes come from `class_of`, which never answers CLASSES or more (tested over every layout).
        unsafe { self.tops.get_unchecked(class) }
    }

    /// Takes a slot from the loaded magazine. Returns the slot's address, or 0 if the magazine is empty.
    ///
    /// # Safety
    /// The calling thread reached the cache through its `fast` word just now.
    #[inline(always)]
    pub unsafe fn pop(&self, class: usize) -> usize {
        let cell = self.top(class);
        let top = cell.load(Ordering::Relaxed);
        // SAFETY: a top points at a word of a magazine that this cache owns, or of the sentinel block.
        let slot = unsafe { (*top).load(Ordering::Relaxed) };
        if slot != 0 {
            cell.store(top.wrapping_sub(1), Ordering::Release);
        }
        slot
    }

    /// Puts a slot onto the loaded magazine; `false` if it is full.
    ///
    /// # Safety
    /// As for [`Self::pop`]; the slot is the caller's and of the class.
    #[inline(always)]
    pub unsafe fn push(&self, class: usize, slot: usize) -> bool {
        // SAFETY: the caller's contract.
        unsafe { Self::push_to(self.top(class), slot) }
    }

    /// Puts a slot onto the spare magazine; `false` if it is full.
    ///
    /// # Safety
    /// As for [`Self::push`].
    #[cfg(loom)]
    pub unsafe fn push_spare(&self, class: usize, slot: usize) -> bool {
        // SAFETY: the caller's contract.
        unsafe { Self::push_to(&self.spares[class], slot) }
    }

    /// Puts a slot onto the magazine with that [`push_number`](crate::size_class::push_number). `false` if the magazine is
    /// full, or if the number is 0; the number 0 costs no test of its own.
    ///
    /// # Safety
    /// As for [`Self::push`]; the number is at most twice [`CLASSES`].
    #[cfg(serves_c)]
    #[inline(always)]
    pub unsafe fn push_numbered(&self, number: usize, slot: usize) -> bool {
        debug_assert!(number <= 2 * CLASSES);
        // SAFETY:
        // - `no_class`, the tops and the spares are 2 * CLASSES + 1 words at the cache's start (asserted above);
        // - the caller's contract; the sentinel block has no room.
        unsafe { Self::push_to(&*core::ptr::from_ref(self).cast::<AtomicPtr<Word>>().add(number), slot) }
    }

    /// # Safety
    /// `cell` holds a top of this cache; otherwise as for [`Self::push`].
    #[inline(always)]
    unsafe fn push_to(cell: &AtomicPtr<Word>, slot: usize) -> bool {
        let Some(next) = magazine::above(cell.load(Ordering::Relaxed)) else { return false };
        // SAFETY: the magazine is this cache's and has room, so the word above the top is in its block.
        unsafe { (*next).store(slot, Ordering::Relaxed) };
        cell.store(next.cast_mut(), Ordering::Release);
        true
    }

    /// The sentinel block's last word: a top that is empty and full at once.
    pub fn sentinel(&self) -> *mut Word {
        self.no_class.load(Ordering::Relaxed)
    }

    /// The owner enters its slow path: drainers leave the cache alone from then on. Waits while a drainer is at work.
    pub fn enter_slow_path(&self) {
        while !self.try_enter_slow_path() {
            self.drain.wait(DRAINED, None);
        }
    }

    /// Like [`Self::enter_slow_path`], but does not wait. `false` while a drainer is at work.
    #[inline]
    pub fn try_enter_slow_path(&self) -> bool {
        self.in_slow_path.store(1, Ordering::Relaxed);
        light_barrier();
        // Acquire: pairs with the drainer's Release in `end_drain`.
        let entered = self.drain.word().load(Ordering::Acquire) == NOT_DRAINED;
        if !entered {
            self.in_slow_path.store(0, Ordering::Relaxed);
        }
        entered
    }

    /// The owner leaves its slow path.
    pub fn leave_slow_path(&self) {
        // Release: a drainer that reads 0 sees what the slow path wrote.
        self.in_slow_path.store(0, Ordering::Release);
    }

    /// Marks the cache for draining and stops the owner's fast path. `false` if another thread has marked the cache already.
    ///
    /// # Safety
    /// Called under the registry's lock, with the cache registered.
    pub unsafe fn begin_drain(&self, sentinel_cache: *mut ThreadCache) -> bool {
        if self.drain.word().compare_exchange(NOT_DRAINED, DRAINED, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: a registered cache names its live thread's words.
        unsafe { (*self.words.load(Ordering::Relaxed)).fast.store(sentinel_cache, Ordering::Release) };
        true
    }

    /// In the child of a fork: removes the mark of a drainer, since the drainer does not exist in the child. The slots that the
    /// drainer had taken are lost. The cache is valid: a drainer leaves it valid at each step, for an operation under way.
    ///
    /// # Safety
    /// This is the child's only thread. The cache and `words` are its own.
    pub unsafe fn forget_drainer(&self, words: &ThreadWords) {
        if self.is_marked() {
            words.fast.store(core::ptr::from_ref(self).cast_mut(), Ordering::Release);
            self.drain.word().store(NOT_DRAINED, Ordering::Release);
        }
    }

    /// Whether a thread drains the cache.
    fn is_marked(&self) -> bool {
        self.drain.word().load(Ordering::Acquire) == DRAINED
    }

    /// Whether the owner is in its slow path. A drainer asks after the barrier.
    pub fn owner_is_in_slow_path(&self) -> bool {
        self.in_slow_path.load(Ordering::Acquire) != 0
    }

    /// Lets the owner go on.
    ///
    /// # Safety
    /// The caller marked the cache with `begin_drain`.
    pub unsafe fn end_drain(&self) {
        let this: *const Self = self;
        // SAFETY: a thread that exits waits in its slow path until the drain ends, so the thread's words still exist.
        unsafe { (*self.words.load(Ordering::Relaxed)).fast.store(this.cast_mut(), Ordering::Release) };
        self.drain.word().store(NOT_DRAINED, Ordering::Release);
        self.drain.wake(u32::MAX);
    }

    /// Takes the slots of a class that a stopped owner cannot reach: all slots of the spare magazine, and all but the topmost
    /// slot of the loaded magazine. `out` has room for the slots of two magazines.
    ///
    /// # Safety
    /// Between `begin_drain`, a barrier, and `end_drain`, with the owner outside its slow path.
    pub unsafe fn take_idle(&self, class: usize, out: &mut [usize]) -> usize {
        debug_assert_eq!(out.len(), 2 * MAX_SLOTS);
        let (from_loaded, from_spare) = out.split_at_mut(MAX_SLOTS);
        let loaded = self.tops[class].load(Ordering::Acquire);
        let spare = self.spares[class].load(Ordering::Acquire);
        // SAFETY: the cache's own magazines or the sentinel block.
        unsafe {
            let below = loaded.wrapping_sub(1);
            let count = if (*loaded).load(Ordering::Relaxed) == 0 { 0 } else { Self::take_all(below, from_loaded) };
            let spare_count = Self::take_all(spare, from_spare);
            out.copy_within(MAX_SLOTS..MAX_SLOTS + spare_count, count);
            count + spare_count
        }
    }

    /// Takes the slots at and below `top`, and writes null at `top`. The magazine's slots begin above `top` from then on.
    ///
    /// # Safety
    /// `top` points into a magazine that is the caller's, or at the sentinel block's last word.
    unsafe fn take_all(top: *const Word, out: &mut [usize]) -> usize {
        // SAFETY: the caller's contract. The sentinel block holds no slot, so nothing is written there.
        unsafe {
            let count = magazine::slots_from(top, out);
            if count != 0 {
                (*top).store(0, Ordering::Relaxed);
            }
            count
        }
    }

    /// Whether a slot lies in a magazine of the class. The owner asks. A slot that a drainer takes meanwhile is free, too.
    #[cfg(debug_assertions)]
    pub fn holds(&self, class: usize, slot: usize) -> bool {
        [&self.tops[class], &self.spares[class]].into_iter().any(|cell| {
            let top = cell.load(Ordering::Acquire);
            let mut slots = [0; MAX_SLOTS];
            // SAFETY: a top of the cache's own magazine or of the sentinel block.
            let count = unsafe { magazine::slots_from(top, &mut slots) };
            slots[..count].contains(&slot)
        })
    }
}
