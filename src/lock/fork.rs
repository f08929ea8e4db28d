//! Locks as the fork handlers see them. They are taken in rank order before the fork, and released in parent and child.
//!
//! A trait, so one walk over all locks of a heap serves the three handlers, whatever the locks guard. If a signal
//! handler forks, its thread may hold a lock already. All three handlers skip such a lock.
//!
//! Locks: those of the caller. Ranks are checked, except that locks of one rank may nest in index order.

use super::{Hold, Lock};

/// A lock as the fork handlers see it.
pub trait ForkLock {
    /// Takes the lock, before the fork.
    fn take(&self) -> Hold;
    /// Waits until nobody holds the lock. The calling thread holds no lock.
    fn wait(&self);
    /// Releases the lock in the parent, if [`Self::take`] took it on this thread.
    fn release_in_parent(&self);
    /// Releases the lock in the child, if [`Self::take`] took it on this thread.
    ///
    /// # Safety
    /// Called in the child of a fork, by its only thread.
    unsafe fn release_in_child(&self);
}

impl<T: 'static> ForkLock for Lock<T> {
    fn take(&self) -> Hold {
        self.hold_over_fork()
    }

    fn wait(&self) {
        drop(self.lock());
    }

    fn release_in_parent(&self) {
        self.unlock_in_parent();
    }

    unsafe fn release_in_child(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.unlock_in_child() };
    }
}
