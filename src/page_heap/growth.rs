//! The work after a growth, once the heap lock has dropped: advice to the kernel, and a release in exchange for the growth.
//!
//! Locks: none of its own.

use crate::units::PAGE_BYTES;

use super::PageHeaps;
use super::huge_map::HUGE_PAGES_PER_CHUNK;
use super::options::ReleaseOptions;
use super::single::Grown;

/// The most chunks that a thread searches after it made the heap grow. They are few, because the thread's caller waits.
const CHUNKS_AFTER_GROWTH: usize = 32;

impl PageHeaps {
    /// Does the work after a growth. Called after the heap lock has dropped. If the growth put the heap above its goal, the
    /// thread that made the heap grow releases retained memory, before it hands its run out.
    pub(super) fn after_growth(&self, grown: Grown) {
        if grown.pages() == 0 {
            return;
        }
        let [rest, new] = grown.runs;
        if let Some(rest) = rest {
            self.advise_growth(rest, rest.end().address(), false);
        }
        if let Some(new) = new {
            self.advise_growth(new, grown.accessible_end, grown.begins_small);
        }
        let growth_bytes = grown.pages() * PAGE_BYTES;
        let (retained, in_use) = (self.accounts.counters.retained_bytes(), self.accounts.counters.in_use_bytes());
        let goal = self.accounts.wakeup.goal();
        let bytes =
            goal.growth_release_bytes(retained as u64, (retained + in_use) as u64, growth_bytes as u64) as usize;
        let released = if bytes == 0 {
            0
        } else {
            // Parts of huge pages are left to the scavenger, unless the heap has passed a limit.
            let split_huge_pages = (retained + in_use + growth_bytes) as u64 > goal.backed_bytes;
            let options = ReleaseOptions { include_dense: false, split_huge_pages, until_cpu_ns: None };
            let released = self.scavenge_chunks(bytes, options, CHUNKS_AFTER_GROWTH).bytes;
            if split_huge_pages {
                self.split_huge_pages(CHUNKS_AFTER_GROWTH * HUGE_PAGES_PER_CHUNK, options);
            }
            released
        };
        self.accounts.counters.add_growth(released);
    }
}
