//! [`Lock`] under loom: loom's mutex with the same interface and the same checks of ranks.
//!
//! A model explores each acquisition as one step; the algorithm of the real lock has a model of its own. A lock that is
//! held over a fork keeps its guard in a cell. `sys::sim::process` ends the threads that the child does not have, and
//! sends the signal that interrupts a thread before or after a step of a lock.
//!
//! Orderings: Relaxed, because only the thread that wrote its own number acts on it.
//!
//! Locks: this is one. Invariant: the value is reached only through a guard.

use super::Hold;
use crate::sync::plain::{AtomicUsize, Ordering};
use crate::sys::held::{CheckedRank, Rank};
use crate::sys::sim::process;
use crate::sys::thread::identity;
use core::cell::Cell;
use core::ops::{Deref, DerefMut};
use loom::sync::{Mutex, MutexGuard};

/// A value behind a mutex.
pub struct Lock<T: 'static> {
    rank: CheckedRank,
    value: Mutex<T>,
    /// The owner's number or 0, as in the real lock's word. Only the owner acts on it.
    owner: AtomicUsize,
    /// The guard of the forking thread, while the lock is held over a fork.
    over_fork: Cell<Option<MutexGuard<'static, T>>>,
}

// SAFETY: the mutex gives the value to one thread at a time, and only the thread that holds the mutex uses the cell.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: as above; a lock is not moved while it is held.
unsafe impl<T: Send> Send for Lock<T> {}

impl<T> Lock<T> {
    /// An unlocked value with a rank.
    pub fn new(rank: Rank, value: T) -> Self {
        Self {
            rank: CheckedRank::new(rank),
            value: Mutex::new(value),
            owner: AtomicUsize::new(0),
            over_fork: Cell::new(None),
        }
    }

    /// Takes the lock. Sleeps until the lock is free.
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        self.rank.check();
        process::may_be_interrupted();
        let value = self.acquire();
        self.guard(value)
    }

    fn guard<'a>(&'a self, value: MutexGuard<'a, T>) -> Guard<'a, T> {
        self.owner.store(identity(), Ordering::Relaxed);
        process::may_be_interrupted();
        self.rank.taken();
        Guard { value: Some(value), lock: self }
    }

    fn acquire(&self) -> MutexGuard<'_, T> {
        process::before_lock();
        let value = self.value.lock().expect("a model ends at its first panic");
        if process::has_vanished() {
            drop(value);
            process::vanish();
        }
        value
    }

    /// Takes the lock and keeps it over a fork, unless this thread has the lock. The thread may hold others of the
    /// rank.
    #[track_caller]
    pub fn hold_over_fork(&self) -> Hold {
        self.rank.check_allowing_same();
        if self.is_own() {
            return Hold::Interrupted;
        }
        let value = self.acquire();
        self.owner.store(identity(), Ordering::Relaxed);
        self.rank.taken_for_fork();
        // SAFETY: the guard is dropped before the lock, because a model that forks always calls one of the handlers.
        self.over_fork.set(Some(unsafe { core::mem::transmute::<MutexGuard<'_, T>, MutexGuard<'static, T>>(value) }));
        Hold::Taken
    }

    fn is_own(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == identity()
    }

    /// Releases the lock in the parent, if this thread holds the lock by [`Self::hold_over_fork`].
    pub fn unlock_in_parent(&self) {
        if self.is_own()
            && let Some(value) = self.over_fork.take()
        {
            self.rank.released();
            self.owner.store(0, Ordering::Relaxed);
            drop(value);
        }
    }

    /// Releases the lock in the child, if this thread holds the lock by [`Self::hold_over_fork`].
    ///
    /// # Safety
    /// As for the real lock.
    pub unsafe fn unlock_in_child(&self) {
        self.unlock_in_parent();
    }
}

/// The right to use the value. Dropping the guard releases the lock.
#[must_use = "the lock is released at once if the guard is dropped"]
pub struct Guard<'a, T: 'static> {
    /// There until the guard is dropped.
    value: Option<MutexGuard<'a, T>>,
    lock: &'a Lock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("there until the guard is dropped")
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("there until the guard is dropped")
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        process::may_be_interrupted();
        self.lock.rank.released();
        self.lock.owner.store(0, Ordering::Relaxed);
        self.value = None;
        process::may_be_interrupted();
    }
}
