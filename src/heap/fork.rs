//! fork in a process with several threads: no lock may belong to a thread that does not exist in the child.
//!
//! The handler before the fork takes every lock of the heap, outermost first. Parent and child release the locks. In the
//! child the caches of the other threads have no owner, so they are emptied into depots and spans. The child loses only what
//! each other thread held in its hands: at most two magazines, its cache if it was exiting, or the runs and holes that it was
//! releasing. Lost memory counts as in use.
//!
//! **A fork in a signal handler** may have interrupted its own thread in any function of the heap. The thread goes on when
//! the handler returns, in the parent and in the child. Three rules follow:
//! - A lock that the thread holds (one at most, since no two nest) stays as it is, with what it protects. The handler takes
//!   the other locks as always.
//! - The handler cannot give this lock up. So no thread may wait for it while it holds other locks: a fork handler that
//!   cannot get a lock for a while gives all its locks back and begins again. Nor does the handler wait for a drainer of its
//!   thread's cache: the drainer may want the lock, or may be this very thread. The child forgets the drainer.
//! - The accounts may be wrong while a slow path is under way. The child recounts them when its thread has left the slow path
//!   ([`Heap::recover_in_child`]).
//!
//! Locks: all.

use crate::caches::{ThreadCache, ThreadWords};
use crate::lock::{ForkLock, Hold};

use super::Heap;

impl Heap {
    /// Before the fork: takes every lock, or none.
    ///
    /// # Errors
    /// The lock that could not be taken. The caller waits for it, with no lock held, before the next try.
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

    /// After the fork, in the parent: releases the locks that [`Heap::prepare_fork`] took on this thread.
    pub fn after_fork_in_parent(&self) {
        let shards = self.accounts().shards.all();
        self.caches.each_lock(|| shards, &mut |lock| lock.release_in_parent());
    }

    /// After the fork, in the child: releases the locks. `words` and `own` are the forking thread's words and cache.
    ///
    /// # Safety
    /// This is the child's only thread, and it called [`Heap::prepare_fork`] before the fork.
    pub unsafe fn after_fork_in_child(&self, words: &ThreadWords, own: Option<&ThreadCache>) {
        let shards = self.accounts().shards.all();
        // SAFETY: the caller's contract.
        self.caches.each_lock(|| shards, &mut |lock| unsafe { lock.release_in_child() });
        if let Some(own) = own {
            // SAFETY: as above; the words are the thread's own.
            unsafe { own.forget_drainer(words) };
        }
        // The scavenger does not exist in the child, so nobody acts on the levels that it published.
        self.accounts().wakeup.begin(self.accounts().counters.in_use_bytes() as u64);
    }

    /// In the child, once its thread is in no slow path: recounts the accounts and adopts the other threads' caches. `own` is
    /// the thread's cache.
    ///
    /// # Safety
    /// [`Heap::after_fork_in_child`] ran, and this is still the child's only thread.
    pub unsafe fn recover_in_child(&self, own: Option<&ThreadCache>) {
        self.caches.recount_in_child();
        // SAFETY: the caller's contract.
        unsafe { self.caches.adopt_orphans(own) };
    }
}
