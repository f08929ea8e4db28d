//! Ranks: the order in which locks may nest, and which of them this thread holds.
//!
//! Debug builds, tests and loom models keep a bit mask of the held ranks for each thread. Taking a lock whose rank does
//! not stand above all held ones, or entering a system call with a lock held, ends the process with one line that names
//! both. Two threads can then never wait for each other, and no thread waits for the kernel with a lock held, whatever
//! the schedule was. It lives below `lock` because the system calls ask it. In release builds all of this is empty.
//!
//! Invariants: (1) bit `r` is set while the thread holds a lock of rank `r`; (2) the mask is thread-local, has no
//! destructor and is reached without allocating, so the checker may run inside the allocator at any time.
//!
//! Orderings: Relaxed, for notes that models read when they are done.
//!
//! Locks: none.

#[cfg(any(debug_assertions, test, loom))]
use crate::sys::fatal;

/// A lock's place in the order: a lock may be taken only while every held lock stands earlier in this list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Rank {
    /// The list of thread caches.
    Registry,
    /// A class's depot.
    Depot,
    /// A class's central.
    Central,
    /// One page cache.
    PageCache,
    /// The heap.
    Heap,
    /// The scavenger's own fields.
    Scavenge,
    /// The metadata store.
    Metadata,
}

impl Rank {
    /// Every rank, outermost first.
    pub const ALL: [Rank; 7] =
        [Rank::Registry, Rank::Depot, Rank::Central, Rank::PageCache, Rank::Heap, Rank::Scavenge, Rank::Metadata];

    /// The name used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Rank::Registry => "registry",
            Rank::Depot => "depot",
            Rank::Central => "central",
            Rank::PageCache => "page cache",
            Rank::Heap => "heap",
            Rank::Scavenge => "scavenge",
            Rank::Metadata => "metadata",
        }
    }

    /// The lock under which the heap grows: the only one that a system call may run under.
    pub const GROWTH: [Rank; 1] = [Rank::Heap];

    #[cfg(any(debug_assertions, test, loom))]
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

#[cfg(all(any(debug_assertions, test), not(loom)))]
std::thread_local! {
    static HELD: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
    static ASIDE: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}
#[cfg(loom)]
loom::thread_local! {
    static HELD: core::cell::Cell<u32> = core::cell::Cell::new(0);
    static ASIDE: core::cell::Cell<u32> = core::cell::Cell::new(0);
}

/// The held ranks of this thread as bits. A thread whose locals are gone holds none.
#[cfg(any(debug_assertions, test, loom))]
fn held() -> u32 {
    HELD.try_with(core::cell::Cell::get).unwrap_or(0)
}

#[cfg(any(debug_assertions, test, loom))]
fn set_held(mask: u32) {
    // The result says that the thread's locals are gone, which only happens to loom's threads after their last lock.
    let _ = HELD.try_with(|held| held.set(mask));
}

/// The innermost rank in a mask that is not empty.
#[cfg(any(debug_assertions, test, loom))]
fn innermost(mask: u32) -> &'static str {
    Rank::ALL.iter().rev().find(|rank| mask & rank.bit() != 0).map_or("none", |rank| rank.name())
}

/// The order as a list, for the message.
#[cfg(any(debug_assertions, test, loom))]
struct Order;

#[cfg(any(debug_assertions, test, loom))]
impl core::fmt::Display for Order {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, rank) in Rank::ALL.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(rank.name())?;
        }
        Ok(())
    }
}

/// Which lock was ever taken under which, for the models: they compare it with the written table of locks.
#[cfg(loom)]
pub mod observed {
    use super::Rank;
    use crate::sync::plain::{AtomicU32, Ordering};

    // Core's atomics: what models note here outlives each execution and is no part of what they explore.
    static NESTED: [AtomicU32; Rank::ALL.len()] = [const { AtomicU32::new(0) }; Rank::ALL.len()];
    static NESTED_BY_FORK: [AtomicU32; Rank::ALL.len()] = [const { AtomicU32::new(0) }; Rank::ALL.len()];

    pub(super) fn note(held: u32, taken: Rank) {
        NESTED[taken as usize].fetch_or(held, Ordering::Relaxed);
    }

    pub(super) fn note_fork(held: u32, taken: Rank) {
        NESTED_BY_FORK[taken as usize].fetch_or(held, Ordering::Relaxed);
    }

    /// Whether `taken` was ever taken while `held` was held.
    pub fn was_nested(held: Rank, taken: Rank) -> bool {
        NESTED[taken as usize].load(Ordering::Relaxed) & held.bit() != 0
    }

    /// Whether the fork handler ever took `taken` while it held `held`.
    pub fn was_nested_by_fork(held: Rank, taken: Rank) -> bool {
        NESTED_BY_FORK[taken as usize].load(Ordering::Relaxed) & held.bit() != 0
    }
}

/// A lock's rank: the rank where ranks are checked, nothing in release builds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    #[cfg(any(debug_assertions, test, loom))]
    rank: Rank,
}

impl Place {
    /// The place of `rank`.
    #[inline]
    pub(crate) const fn new(rank: Rank) -> Self {
        #[cfg(not(any(debug_assertions, test, loom)))]
        let _ = rank;
        Self {
            #[cfg(any(debug_assertions, test, loom))]
            rank,
        }
    }

    /// Ends the process unless every held rank stands before this one.
    #[inline]
    #[track_caller]
    pub(crate) fn check(self) {
        #[cfg(any(debug_assertions, test, loom))]
        self.refuse(held() & !(self.rank.bit() - 1));
    }

    /// Ends the process if a held rank stands after this one; the same rank may be held.
    #[inline]
    #[track_caller]
    pub(crate) fn check_allowing_same(self) {
        #[cfg(any(debug_assertions, test, loom))]
        self.refuse(held() & !(self.rank.bit() - 1) & !self.rank.bit());
    }

    #[cfg(any(debug_assertions, test, loom))]
    #[track_caller]
    fn refuse(self, later: u32) {
        if later != 0 {
            fatal!("lock", "took {} while holding {} (order: {})", self.rank.name(), innermost(later), Order);
        }
    }

    /// Notes that the lock is held.
    #[inline]
    pub(crate) fn taken(self) {
        #[cfg(loom)]
        observed::note(held(), self.rank);
        #[cfg(any(debug_assertions, test, loom))]
        set_held(held() | self.rank.bit());
    }

    /// Notes that the fork handler holds the lock: the only one who holds several of a rank.
    #[inline]
    pub(crate) fn taken_for_fork(self) {
        #[cfg(loom)]
        observed::note_fork(held(), self.rank);
        #[cfg(any(debug_assertions, test, loom))]
        set_held(held() | self.rank.bit());
    }

    /// Notes that the lock is about to be released. Of several locks of one rank (fork), the first one clears the bit.
    #[inline]
    pub(crate) fn released(self) {
        #[cfg(any(debug_assertions, test, loom))]
        set_held(held() & !self.rank.bit());
    }
}

/// For a fork handler: what its thread held before, because a signal interrupted it there, does not count until
/// [`take_back`]. The handler passes over those locks and waits for the others with other rules (`lock::raw`).
pub fn set_aside() {
    #[cfg(any(debug_assertions, test, loom))]
    {
        let _ = ASIDE.try_with(|aside| aside.set(held()));
        set_held(0);
    }
}

/// See [`set_aside`]. Locks that were taken since then have been given back.
pub fn take_back() {
    #[cfg(any(debug_assertions, test, loom))]
    set_held(ASIDE.try_with(core::cell::Cell::take).unwrap_or(0));
}

/// Ends the process if this thread holds a lock; `what` names the system call it was about to make.
#[inline]
#[track_caller]
pub fn assert_none_held(what: &'static str) {
    assert_only_held(what, &[]);
}

/// Ends the process if this thread holds a lock of a rank that is not in `allowed`.
#[inline]
#[track_caller]
pub fn assert_only_held(what: &'static str, allowed: &[Rank]) {
    #[cfg(any(debug_assertions, test, loom))]
    {
        let rest = allowed.iter().fold(held(), |mask, rank| mask & !rank.bit());
        if rest != 0 {
            fatal!("lock", "system call {} under lock {}", what, innermost(rest));
        }
    }
    #[cfg(not(any(debug_assertions, test, loom)))]
    let _ = (what, allowed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_listed_in_order() {
        for (i, rank) in Rank::ALL.iter().enumerate() {
            assert_eq!(*rank as usize, i);
        }
    }

    #[test]
    fn the_innermost_held_rank_is_named() {
        assert_eq!(innermost(Rank::Registry.bit() | Rank::Heap.bit()), "heap");
    }

    #[test]
    #[should_panic(expected = "neap: lock: system call madvise under lock central")]
    fn a_system_call_under_a_lock_is_refused() {
        Place::new(Rank::Central).taken();
        assert_none_held("madvise");
    }

    #[test]
    #[should_panic(expected = "neap: lock: system call mprotect under lock depot")]
    fn an_allowed_rank_does_not_excuse_another() {
        Place::new(Rank::Heap).taken();
        assert_only_held("mprotect", &[Rank::Heap]);
        Place::new(Rank::Depot).taken();
        assert_only_held("mprotect", &[Rank::Heap]);
    }
}
