//! fork in a multi-threaded process: no lock may be held by a thread that does not exist in the child.
//!
//! The handler before the fork takes every lock of the heap, outermost first; the parent and the child release them. In
//! the child the other threads' caches have no owner any more: they are emptied back into the spans, so nothing is lost but
//! what a thread held in its hands at that moment (at most two magazines, its cache if it was exiting, or the runs and
//! holes that it was releasing).
//! What is lost counts as in use.
//!
//! **A fork in a signal handler** may have interrupted its own thread anywhere in here. What that thread holds it goes on
//! using when the handler returns, in the parent and in the child: such a lock (one at most, since no two nest) stays as it
//! is, and with it whatever it protects; the others are taken as ever. Two more things follow. First, the handler cannot
//! give that lock up, so no thread may wait for it with another in its hands: a fork handler that cannot get a lock for
//! a while gives all back and begins again. Nor does one wait for whoever drains its thread's cache, who may want that
//! lock, or be this very thread; the child forgets him. Second, the books are open while a slow path is under way: the child makes them true when it
//! is over ([`Heap::recover_in_child`]).
//!
//! Locks: all of them.

use crate::caches::{ThreadCache, ThreadWords};
use crate::lock::{ForkLock, Hold};

use super::Heap;

impl Heap {
    /// Before the fork: takes every lock, or none.
    ///
    /// # Errors
    /// The lock that is in the way: to be waited for with nothing held, before another try.
    pub fn prepare_fork(&self) -> Result<(), &dyn ForkLock> {
        let mut stuck = None;
        self.caches.each_lock(|| self.accounts().shards.all(), &mut |lock| {
            if stuck.is_none() && lock.take() == Hold::Stuck {
                stuck = Some(lock);
            }
        });
        let Some(stuck) = stuck else { return Ok(()) };
        self.after_fork_in_parent();
        Err(stuck)
    }

    /// After the fork, in the parent: gives back what [`Heap::prepare_fork`] took on this thread.
    pub fn after_fork_in_parent(&self) {
        let shards = self.accounts().shards.all();
        self.caches.each_lock(|| shards, &mut |lock| lock.release_in_parent());
    }

    /// After the fork, in the child. `words` are the forking thread's.
    ///
    /// # Safety
    /// This is the child's only thread, and it called [`Heap::prepare_fork`] before the fork.
    pub unsafe fn after_fork_in_child(&self, words: &ThreadWords, own: Option<&ThreadCache>) {
        let shards = self.accounts().shards.all();
        // SAFETY: the caller's contract.
        self.caches.each_lock(|| shards, &mut |lock| unsafe { lock.release_in_child() });
        if let Some(own) = own {
            // SAFETY: as above; the thread's own words.
            unsafe { own.forget_drainer(words) };
        }
        // There is no scavenger any more, and nobody to act on the levels that it published.
        self.accounts().wakeup.begin(self.accounts().counters.in_use_bytes() as u64);
    }

    /// In the child, once its thread is in no slow path: makes the books true and takes over what the other threads left.
    /// `own` is the thread's cache.
    ///
    /// # Safety
    /// [`Heap::after_fork_in_child`] ran, and this is still the child's only thread.
    pub unsafe fn recover_in_child(&self, own: Option<&ThreadCache>) {
        self.caches.recount_in_child();
        // SAFETY: the caller's contract.
        unsafe { self.caches.adopt_orphans(own) };
    }
}
