//! What the models need of the heap beyond its public functions: doors, no behaviour.
//!
//! Locks: those of the functions behind the doors.

use crate::pages::Taken;
use crate::units::Run;

use super::Heap;

impl Heap {
    /// Takes a run for a small span, by way of the page cache.
    pub fn take_span_pages(&self, pages: usize) -> Option<Taken> {
        let take = || self.page_heaps().take_span_run(0, pages, 1);
        let taken = take().or_else(|| self.reclaim(pages, take));
        self.caches().use_more_shards();
        taken
    }

    /// Takes a run from the heap.
    pub fn take_pages(&self, pages: usize) -> Option<Taken> {
        let take = || self.page_heaps().take_run(0, pages, 1);
        let taken = take().or_else(|| self.reclaim(pages, take));
        self.caches().use_more_shards();
        taken
    }

    /// Gives a run back.
    pub fn free_pages(&self, run: Run) {
        self.page_heaps().free_run(run);
    }
}
