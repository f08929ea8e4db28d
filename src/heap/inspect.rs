//! What the models need beyond the heap's other functions: pages without a span.
//!
//! Locks: none of its own.

use crate::pages::Taken;
use crate::units::Run;

use super::Heap;

impl Heap {
    /// Takes a run for a small span, from the page cache if that has one.
    pub fn take_span_pages(&self, pages: usize) -> Option<Taken> {
        let take = || self.page_heaps().take_span_run(0, pages, 1);
        let taken = take().or_else(|| self.reclaim(pages, take));
        self.caches().use_more_shards();
        taken
    }

    /// Takes a run from the page heap.
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
