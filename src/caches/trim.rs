//! Trimming: the magazines that the depots hold beyond their working sets go back to the spans.
//!
//! Locks: depot, metadata and the locks of the floors below, one at a time.

use crate::size_class::CLASSES;

use super::Caches;

impl Caches {
    /// Gives the depots' excess since the last call back to the spans. Page caches and the classes' spare spans go back to the
    /// page heaps. With `all`, the depots give back all that they hold.
    pub fn trim(&self, all: bool) {
        for shard in self.accounts().shards.all() {
            for class in 0..CLASSES {
                self.trim_depot(shard, class, all);
            }
        }
        // After all depots: a depot may hold the last slots of another shard's span, which becomes a spare span there.
        self.centrals.trim();
    }

    fn trim_depot(&self, shard: usize, class: usize, all: bool) {
        let excess = {
            let mut depot = self.depots[shard][class].lock();
            if all { u32::MAX } else { depot.excess() }
        };
        for _ in 0..excess {
            let Some(full) = self.take_full(shard, class) else { break };
            // SAFETY: the magazine was taken from the depot, so it is this thread's.
            unsafe { self.flush_magazine(class, full.full_top()) };
            self.give_empty(shard, class, full);
        }
        loop {
            let empty = if all { self.depots[shard][class].lock().pop_empty() } else { None };
            let Some(empty) = empty else { break };
            self.metadata.recycle(empty);
        }
    }
}
