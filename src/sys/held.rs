//! Ranks: the order in which locks may nest, and the ranks that a thread holds.
//!
//! Debug builds, tests and loom models keep a bit mask of the held ranks for each thread. Two mistakes end the process
//! with one line that names both sides: a thread takes a lock whose rank does not come after all held ranks, or it
//! enters a system call while it holds a lock. Without these mistakes no two threads can wait for each other and no
//! thread waits for the kernel with a lock held, whatever the schedule is. In release builds all of this is empty. The
//! module stands below `lock`, because the system calls use it.
//!
//! Invariants: (1) bit `r` is set while the thread holds a lock of rank `r`; (2) the mask is thread-local, has no
//! destructor and is reached without allocation, so the checks may run anywhere inside the allocator.
//!
//! Orderings: Relaxed, for notes that models read after their threads have ended.
//!
//! Locks: none.

#[cfg(any(debug_assertions, test, loom))]
use crate::sys::fatal;

/// A lock's place in the order: a thread may take a lock only while all its held locks stand earlier in this list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Rank {
    /// The list of thread caches.
    Registry,
    /// A class's depot.
    Depot,
    /// A class's central.
    Central,
    /// A shard's page cache.
    PageCache,
    /// A shard's page heap.
    Heap,
    /// The fields of the scavenger itself.
    Scavenge,
    /// The metadata store.
    Metadata,
}

impl Rank {
    /// Every rank, outermost first.
    #[cfg(any(debug_assertions, test, loom))]
    pub const ALL: [Rank; 7] =
        [Rank::Registry, Rank::Depot, Rank::Central, Rank::PageCache, Rank::Heap, Rank::Scavenge, Rank::Metadata];

    /// The name in messages.
    #[cfg(any(debug_assertions, test, loom))]
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

/// The held ranks of this thread as bits. A thread whose thread-locals are destroyed holds none.
#[cfg(any(debug_assertions, test, loom))]
fn held() -> u32 {
    HELD.try_with(core::cell::Cell::get).unwrap_or(0)
}

#[cfg(any(debug_assertions, test, loom))]
fn set_held(mask: u32) {
    // This fails if the thread-locals are destroyed. Only loom destroys them, after a thread's last lock.
    let _ = HELD.try_with(|held| held.set(mask));
}

/// The innermost rank in a mask that is not empty.
#[cfg(any(debug_assertions, test, loom))]
fn innermost(mask: u32) -> &'static str {
    Rank::ALL.iter().rev().find(|rank| mask & rank.bit() != 0).map_or("none", |rank| rank.name())
}

/// The order of ranks as a list, for the message.
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

/// The pairs of locks that have nested. The models compare the pairs with the written table of locks.
#[cfg(loom)]
pub mod observed {
    use super::Rank;
    use crate::sync::plain::{AtomicU32, Ordering};

    // Core's atomics: these notes outlive each execution of a model, and models do not explore them.
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

/// A lock's rank where ranks are checked; nothing in release builds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckedRank {
    #[cfg(any(debug_assertions, test, loom))]
    rank: Rank,
}

impl CheckedRank {
    /// `rank`, to be checked.
    #[inline]
    pub(crate) const fn new(rank: Rank) -> Self {
        #[cfg(not(any(debug_assertions, test, loom)))]
        let _ = rank;
        Self {
            #[cfg(any(debug_assertions, test, loom))]
            rank,
        }
    }

    /// Ends the process unless every held rank comes before this rank.
    #[inline]
    #[track_caller]
    pub(crate) fn check(self) {
        #[cfg(any(debug_assertions, test, loom))]
        self.refuse(held() & !(self.rank.bit() - 1));
    }

    /// Ends the process if a held rank comes after this rank. The same rank may be held.
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

    /// Marks the rank as held.
    #[inline]
    pub(crate) fn taken(self) {
        #[cfg(loom)]
        observed::note(held(), self.rank);
        #[cfg(any(debug_assertions, test, loom))]
        set_held(held() | self.rank.bit());
    }

    /// Marks the rank as held by a fork handler. Only a fork handler holds several locks of a rank.
    #[inline]
    pub(crate) fn taken_for_fork(self) {
        #[cfg(loom)]
        observed::note_fork(held(), self.rank);
        #[cfg(any(debug_assertions, test, loom))]
        set_held(held() | self.rank.bit());
    }

    /// Marks the rank as not held, before the lock is released. Where a fork handler holds several locks of the rank,
    /// the first release clears the bit.
    #[inline]
    pub(crate) fn released(self) {
        #[cfg(any(debug_assertions, test, loom))]
        set_held(held() & !self.rank.bit());
    }
}

/// Hides the ranks that the thread holds until [`take_back`]. A fork handler calls this: if a signal handler forks, the
/// thread may hold locks that the signal interrupted. The fork handler skips these locks (see `lock::raw`).
pub fn set_aside() {
    #[cfg(any(debug_assertions, test, loom))]
    {
        let _ = ASIDE.try_with(|aside| aside.set(held()));
        set_held(0);
    }
}

/// Shows the ranks that [`set_aside`] hid. The thread has released all locks that it took in between.
pub fn take_back() {
    #[cfg(any(debug_assertions, test, loom))]
    set_held(ASIDE.try_with(core::cell::Cell::take).unwrap_or(0));
}

/// Ends the process if this thread holds a lock. `what` names the system call that the thread is about to make.
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
        CheckedRank::new(Rank::Central).taken();
        assert_none_held("madvise");
    }

    #[test]
    #[should_panic(expected = "neap: lock: system call mprotect under lock depot")]
    fn an_allowed_rank_does_not_excuse_another() {
        CheckedRank::new(Rank::Heap).taken();
        assert_only_held("mprotect", &[Rank::Heap]);
        CheckedRank::new(Rank::Depot).taken();
        assert_only_held("mprotect", &[Rank::Heap]);
    }
}
