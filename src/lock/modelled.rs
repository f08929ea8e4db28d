//! [`Lock`] under loom: loom's mutex with the same interface and the same rank checks.
//!
//! A model explores each acquisition as one step; the algorithm of the real lock has a model of its own. A lock that is
//! held over a fork keeps its guard in a cell; what becomes of the threads that the child does not have is the
//! simulation's affair (`sys::sim::process`).

use crate::sys::held::{Place, Rank};
use crate::sys::sim::process;
use core::cell::Cell;
use core::ops::{Deref, DerefMut};
use loom::sync::{Mutex, MutexGuard};

/// A value behind a mutex.
pub struct Lock<T: 'static> {
    place: Place,
    value: Mutex<T>,
    /// The guard of a lock that is held over a fork; the forking thread's.
    over_fork: Cell<Option<MutexGuard<'static, T>>>,
}

// SAFETY: the mutex hands the value to one thread at a time; the cell is used only by the thread that holds the mutex.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: as above; a lock is not moved while it is held.
unsafe impl<T: Send> Send for Lock<T> {}

impl<T> Lock<T> {
    /// An unlocked value of the given rank.
    pub fn new(rank: Rank, value: T) -> Self {
        Self { place: Place::new(rank), value: Mutex::new(value), over_fork: Cell::new(None) }
    }

    /// Takes the lock, sleeping until it is free.
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        self.place.check();
        let value = self.acquire();
        self.place.taken();
        Guard { value, place: self.place }
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.place.check();
        let value = self.value.try_lock().ok()?;
        self.place.taken();
        Some(Guard { value, place: self.place })
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

    /// Takes the lock and keeps it over a fork; other locks of the same rank may be held.
    #[track_caller]
    pub fn hold_over_fork(&self) {
        self.place.check_allowing_same();
        let value = self.acquire();
        self.place.taken_for_fork();
        // SAFETY: the guard is dropped before the lock: a model that forks always calls one of the handlers.
        self.over_fork.set(Some(unsafe { core::mem::transmute::<MutexGuard<'_, T>, MutexGuard<'static, T>>(value) }));
    }

    /// Releases a lock that was held over a fork, in the parent.
    ///
    /// # Safety
    /// The calling thread took the lock with [`Self::hold_over_fork`].
    pub unsafe fn unlock_in_parent(&self) {
        self.place.released();
        drop(self.over_fork.take());
    }

    /// Releases a lock that was held over a fork, in the child.
    ///
    /// # Safety
    /// As for [`Self::unlock_in_parent`].
    pub unsafe fn unlock_in_child(&self) {
        self.place.released();
        drop(self.over_fork.take());
    }

    /// The value, for its only owner.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().expect("a model ends at its first panic")
    }
}

/// The right to use the value; dropping it releases the lock.
#[derive(Debug)]
#[must_use = "the lock is released at once if the guard is dropped"]
pub struct Guard<'a, T> {
    value: MutexGuard<'a, T>,
    place: Place,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.place.released();
    }
}
