//! Trimming: what the depots hold beyond their working sets goes back to the spans.
//!
//! Locks: depot, central, page cache, heap, metadata, one at a time.

use crate::size_class::CLASSES;

use super::Caches;

impl Caches {
    /// Returns to the spans what the depots did not need since the last call, and to the heap the page caches
    /// and the classes' spare spans. With `all`, whatever is there.
    pub fn trim(&self, all: bool) {
        for shard in self.accounts().shards.all() {
            for class in 0..CLASSES {
                self.trim_depot(shard, class, all);
            }
        }
        // After all depots: a shard's may hold the last slots of another's span, which then becomes the spare there.
        self.centrals.trim();
    }

    fn trim_depot(&self, shard: usize, class: usize, all: bool) {
        let excess = {
            let mut depot = self.depots[shard][class].lock();
            if all { u32::MAX } else { depot.excess() }
        };
        for _ in 0..excess {
            let Some(full) = self.take_full(shard, class) else { break };
            // SAFETY: the magazine was taken from the depot: it is this thread's.
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
