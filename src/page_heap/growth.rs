//! What growth leaves to do once the heap lock has dropped: advice to the kernel, and a release instead of more memory.
//!
//! Locks: none of its own.

use crate::units::PAGE_BYTES;

use super::PageHeaps;
use super::huge_map::HUGE_PAGES_PER_CHUNK;
use super::options::ReleaseOptions;
use super::single::Grown;

/// Chunks that a thread searches which made the heap grow: its caller waits.
const CHUNKS_AFTER_GROWTH: usize = 32;

impl PageHeaps {
    /// Called after the heap lock has dropped: where growth put the heap above its goal, the thread that grew it releases
    /// some of what is retained instead, before it hands its span out.
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
            // Parts of huge pages are left to the scavenger, unless there is a limit to keep.
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
