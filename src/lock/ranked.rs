//! The real [`Lock`]: a [`RawMutex`], a rank and the value.
//!
//! Invariant: the value is reached only through a [`Guard`], which exists only between lock and unlock.
//!
//! Locks: this is one.

use super::{Hold, RawMutex};
use crate::sync::UnsafeCell;
use crate::sys::held::{CheckedRank, Rank};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value behind a mutex. In release builds a lock is one word and the value, without padding.
#[derive(Debug)]
pub struct Lock<T> {
    raw: RawMutex,
    rank: CheckedRank,
    /// Protected by `raw`.
    value: UnsafeCell<T>,
}

#[cfg(not(any(debug_assertions, test)))]
const _: () = assert!(size_of::<Lock<()>>() == size_of::<usize>());

// SAFETY: one thread at a time reaches the value (the invariant above), which only needs `T: Send`.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// An unlocked value with a rank.
    #[inline]
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { raw: RawMutex::new(), rank: CheckedRank::new(rank), value: UnsafeCell::new(value) }
    }

    /// Takes the lock. Sleeps until the lock is free.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        self.rank.check();
        self.raw.lock();
        self.guard()
    }

    /// Takes the lock and keeps it over a fork, if it can (see [`RawMutex::hold_over_fork`]). The thread may hold
    /// others of the rank, because fork handlers take them in index order. [`Self::unlock_in_parent`] or
    /// [`Self::unlock_in_child`] releases the lock.
    #[track_caller]
    pub fn hold_over_fork(&self) -> Hold {
        self.rank.check_allowing_same();
        let hold = self.raw.hold_over_fork();
        if hold == Hold::Taken {
            self.rank.taken_for_fork();
        }
        hold
    }

    /// Releases the lock in the parent, if this thread holds the lock by [`Self::hold_over_fork`].
    pub fn unlock_in_parent(&self) {
        if self.raw.is_held_over_fork() {
            self.rank.released();
            // SAFETY: this thread holds the lock, and no guard does, so nothing refers to the value.
            unsafe { self.raw.unlock() };
        }
    }

    /// Releases the lock in the child, if this thread holds the lock by [`Self::hold_over_fork`]. Nobody waits there.
    ///
    /// # Safety
    /// Called in the child of a fork, by its only thread.
    pub unsafe fn unlock_in_child(&self) {
        if self.raw.is_held_over_fork() {
            self.rank.released();
            // SAFETY: this thread forked with the lock held, and is the only thread (the caller's contract).
            unsafe { self.raw.unlock_in_child() };
        }
    }

    #[inline]
    fn guard(&self) -> Guard<'_, T> {
        self.rank.taken();
        Guard { lock: self, _not_send: PhantomData }
    }
}

/// The right to use the value. Dropping the guard releases the lock.
#[derive(Debug)]
#[must_use = "the lock is released at once if the guard is dropped"]
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// A thread has its own mask of held ranks, so a guard must be dropped on its own thread.
    _not_send: PhantomData<*mut ()>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so this thread holds the lock; the guard outlives the borrow.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists, so this thread holds the lock; the guard is borrowed mutably for the same time.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.rank.released();
        // SAFETY: the guard exists, so this thread holds the lock, and the guard ends here.
        unsafe { self.lock.raw.unlock() };
    }
}

#[cfg(test)]
mod tests;
