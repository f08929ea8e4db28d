//! [`Lock`] under loom: loom's mutex with the same interface and the same rank checks.
//!
//! A model explores each acquisition as one step; the algorithm of the real lock has a model of its own. A fork is not
//! modelled.

use crate::sys::held::{Place, Rank};
use core::ops::{Deref, DerefMut};
use loom::sync::{Mutex, MutexGuard};

/// A value behind a mutex.
#[derive(Debug)]
pub struct Lock<T> {
    place: Place,
    value: Mutex<T>,
}

impl<T> Lock<T> {
    /// An unlocked value of the given rank.
    pub fn new(rank: Rank, value: T) -> Self {
        Self { place: Place::new(rank), value: Mutex::new(value) }
    }

    /// Takes the lock, sleeping until it is free.
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        self.place.check();
        self.guard(self.value.lock().expect("a model ends at its first panic"))
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.place.check();
        self.value.try_lock().ok().map(|value| self.guard(value))
    }

    /// Like [`Self::lock`], but other locks of the same rank may be held.
    #[track_caller]
    pub fn lock_during_fork(&self) -> Guard<'_, T> {
        self.place.check_allowing_same();
        self.guard(self.value.lock().expect("a model ends at its first panic"))
    }

    /// Present so that the fork handlers compile.
    ///
    /// # Safety
    /// Never called.
    pub unsafe fn unlock_in_parent(&self) {
        unreachable!("forks are not modelled");
    }

    /// Present so that the fork handlers compile.
    ///
    /// # Safety
    /// Never called.
    pub unsafe fn unlock_in_child(&self) {
        unreachable!("forks are not modelled");
    }

    /// The value, for its only owner.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().expect("a model ends at its first panic")
    }

    fn guard<'a>(&'a self, value: MutexGuard<'a, T>) -> Guard<'a, T> {
        self.place.taken();
        Guard { value, place: self.place }
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
