//! Locks as the fork handlers see them: taken before the fork in rank order, released in parent and child each in its way.
//!
//! A trait, so that one walk over all locks of a heap serves the three handlers, whatever the locks guard.
//!
//! Locks: those it is called for. The ranks are checked as everywhere, except that a rank may repeat in index order.

use super::Lock;

/// A lock as the fork handlers see it.
pub trait ForkLock {
    /// Takes the lock, before the fork.
    fn take(&self);
    /// Releases it in the parent.
    ///
    /// # Safety
    /// This thread took it.
    unsafe fn release_in_parent(&self);
    /// Releases it in the child.
    ///
    /// # Safety
    /// The forking thread, which is this one, took it.
    unsafe fn release_in_child(&self);
}

impl<T: 'static> ForkLock for Lock<T> {
    fn take(&self) {
        self.hold_over_fork();
    }

    unsafe fn release_in_parent(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.unlock_in_parent() };
    }

    unsafe fn release_in_child(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.unlock_in_child() };
    }
}
