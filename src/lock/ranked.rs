//! The real [`Lock`]: a [`RawMutex`], a rank and the value.
//!
//! Invariant: the value is reached only through a [`Guard`], which exists only between lock and unlock.

use super::{Hold, RawMutex};
use crate::sync::UnsafeCell;
use crate::sys::held::{CheckedRank, Rank};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value behind a mutex. In release builds: a word and the value, without padding of its own.
#[derive(Debug)]
pub struct Lock<T> {
    raw: RawMutex,
    rank: CheckedRank,
    /// Protected by `raw`.
    value: UnsafeCell<T>,
}

#[cfg(not(any(debug_assertions, test)))]
const _: () = assert!(size_of::<Lock<()>>() == size_of::<usize>());

// SAFETY: the value is handed to one thread at a time (the invariant above), which needs `T: Send` and no more.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// An unlocked value of the given rank.
    #[inline]
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { raw: RawMutex::new(), rank: CheckedRank::new(rank), value: UnsafeCell::new(value) }
    }

    /// Takes the lock, sleeping until it is free.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        self.rank.check();
        self.raw.lock();
        self.guard()
    }

    /// Takes the lock and keeps it over a fork, if it can (see [`RawMutex::hold_over_fork`]); other locks of the same rank may
    /// be held: the fork handler takes the locks of each class in index order. [`Self::unlock_in_parent`] or
    /// [`Self::unlock_in_child`] undoes it.
    #[track_caller]
    pub fn hold_over_fork(&self) -> Hold {
        self.rank.check_allowing_same();
        let hold = self.raw.hold_over_fork();
        if hold == Hold::Taken {
            self.rank.taken_for_fork();
        }
        hold
    }

    /// Releases the lock in the parent, if this thread holds it by [`Self::hold_over_fork`].
    pub fn unlock_in_parent(&self) {
        if self.raw.is_held_over_fork() {
            self.rank.released();
            // SAFETY: held by this thread, and by no guard: nothing refers to the value.
            unsafe { self.raw.unlock() };
        }
    }

    /// The same in the child, where nobody can be waiting.
    ///
    /// # Safety
    /// Called in the child of a fork by its only thread.
    pub unsafe fn unlock_in_child(&self) {
        if self.raw.is_held_over_fork() {
            self.rank.released();
            // SAFETY: held by the thread that forked, which is the only one (the caller's contract).
            unsafe { self.raw.unlock_in_child() };
        }
    }

    #[inline]
    fn guard(&self) -> Guard<'_, T> {
        self.rank.taken();
        Guard { lock: self, _not_send: PhantomData }
    }
}

/// The right to use the value; dropping it releases the lock.
#[derive(Debug)]
#[must_use = "the lock is released at once if the guard is dropped"]
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// The held mask is the thread's own: a guard must be dropped where it was made.
    _not_send: PhantomData<*mut ()>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so this thread holds the lock; the borrow ends with the guard's.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists, so this thread holds the lock; the guard is borrowed mutably for as long.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.rank.released();
        // SAFETY: the guard exists, so this thread holds the lock, and it is gone after this.
        unsafe { self.lock.raw.unlock() };
    }
}

#[cfg(test)]
mod tests;
