//! fork in a multi-threaded process: no lock may be held by a thread that does not exist in the child.
//!
//! The handler before the fork takes every lock of the heap, outermost first; the parent and the child release them. In
//! the child the other threads' caches have no owner any more: they are emptied back into the spans, so nothing is lost but
//! what a thread held in its hands at that moment (at most two magazines).
//!
//! Locks: all of them.

pub use crate::lock::ForkLock;
use crate::size_class::CLASSES;
use crate::thread_cache::ThreadCache;

use super::Heap;

impl Heap {
    /// Calls `visit` with every lock, outermost first.
    fn each_lock(&self, mut visit: impl FnMut(&dyn ForkLock)) {
        visit(&self.registry);
        for class in 0..CLASSES {
            visit(&*self.depots[class]);
        }
        for class in 0..CLASSES {
            visit(&*self.centrals[class]);
        }
        for cache in &self.page_caches {
            visit(&**cache);
        }
        visit(&*self.pages);
        visit(&*self.scavenge);
        visit(self.metadata.lock_for_fork());
    }

    /// Before the fork.
    pub fn prepare_fork(&self) {
        self.each_lock(|lock| lock.take());
    }

    /// After the fork, in the parent.
    ///
    /// # Safety
    /// This thread called [`Heap::prepare_fork`].
    pub unsafe fn after_fork_in_parent(&self) {
        // SAFETY: the caller's contract.
        self.each_lock(|lock| unsafe { lock.release_in_parent() });
    }

    /// After the fork, in the child. `own` is the forking thread's cache, or null.
    ///
    /// # Safety
    /// This is the child's only thread, and it called [`Heap::prepare_fork`] before the fork.
    pub unsafe fn after_fork_in_child(&self, own: *const ThreadCache) {
        // SAFETY: the caller's contract.
        self.each_lock(|lock| unsafe { lock.release_in_child() });
        self.adopt_orphans(own);
    }

    /// Empties the caches of threads that do not exist.
    fn adopt_orphans(&self, own: *const ThreadCache) {
        loop {
            let orphan = {
                let mut registry = self.registry.lock();
                let orphan = registry.iter().find(|cache| !core::ptr::eq(*cache, own)).map(core::ptr::NonNull::from);
                if let Some(orphan) = orphan {
                    // SAFETY: registered, and without an owner or a drainer: this is the only thread.
                    unsafe { registry.remove(orphan) };
                }
                orphan
            };
            let Some(orphan) = orphan else { return };
            // SAFETY: removed just now: nobody else knows it.
            unsafe {
                self.empty_cache(orphan.as_ref());
                self.registry.lock().recycle(orphan);
            }
        }
    }
}
