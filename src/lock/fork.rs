//! Locks as the fork handlers see them: taken before the fork in rank order, released in parent and child each in its way.
//!
//! A trait, so that one walk over all locks of a heap serves the three handlers, whatever the locks guard. A lock that the
//! thread held already, because the fork is a signal handler's, is passed over by all of them.
//!
//! Locks: those it is called for. The ranks are checked as everywhere, except that a rank may repeat in index order.

use super::{Hold, Lock};

/// A lock as the fork handlers see it.
pub trait ForkLock {
    /// Takes the lock, before the fork.
    fn take(&self) -> Hold;
    /// Waits until nobody holds it. The thread holds nothing.
    fn wait(&self);
    /// Releases it in the parent, if [`Self::take`] took it on this thread.
    fn release_in_parent(&self);
    /// The same in the child.
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
