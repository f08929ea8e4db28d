//! The release of a batch of runs in flight. Here, and only here, free pages go back to the OS.
//!
//! A run in flight is marked allocated, so nobody else can be handed it, and no lock is held while the kernel works. A
//! batch makes several short runs cost two acquisitions of the heap lock and one system call in all.
//!
//! Locks: scavenge, then heap, one at a time; none during the release.

use core::ptr::NonNull;

use crate::pages::Fault;
use crate::sys;
use crate::units::{Chunk, PAGE_BYTES, Page, Run};

use super::PageHeaps;
use super::arena::pointer;
use super::huge_map::Cuts;
use super::options::ReleaseOptions;
use super::single::or_abort;

/// The most runs in a batch.
pub(super) const BATCH: usize = if cfg!(loom) { 2 } else { 32 };

/// Room for a batch of runs.
pub(super) const NO_RUNS: [Run; BATCH] = [Run { first: Page(0), pages: 0 }; BATCH];

impl PageHeaps {
    /// Releases runs of a chunk that are in flight, then frees them. `released_before` of their pages were released
    /// already. Returns the bytes that went back to the OS.
    pub(super) fn release_batch(
        &self,
        chunk: Chunk,
        runs: &[Run],
        released_before: usize,
        options: ReleaseOptions,
    ) -> usize {
        let mut ranges = [(NonNull::dangling(), 0); BATCH];
        let mut cuts = Cuts::<{ 2 * BATCH }>::new();
        for (range, run) in ranges.iter_mut().zip(runs) {
            *range = (pointer(run.first.address()), run.bytes());
            self.before_release(*run, options, &mut cuts);
        }
        // SAFETY: the runs are in flight, so nobody uses their memory and nobody can be handed it.
        let refused_from = match unsafe { sys::vm::release_many(&ranges[..runs.len()]) } {
            Ok(()) => runs.len(),
            Err(stopped) => stopped.released,
        };
        if refused_from != runs.len() {
            self.accounts.counters.add_refused_release();
        }
        self.after_release(&cuts, refused_from == runs.len());
        let mut bytes = 0;
        {
            let mut page_heap = self.page_heap_of(chunk).lock();
            for (index, run) in runs.iter().enumerate() {
                let result: Result<(), Fault> = if index < refused_from {
                    bytes += run.bytes();
                    page_heap.allocator.free_scavenged(*run)
                } else {
                    // The kernel refused: perhaps the run is locked in memory. It stays retained. It is tried again once a
                    // page of the chunk was freed, or a search begins that may split huge pages.
                    self.index.postpone(chunk);
                    page_heap.allocator.free(*run)
                };
                or_abort(result);
                page_heap.in_flight_pages -= run.pages;
            }
            self.publish_retained(self.index.owner(chunk), &mut page_heap);
        }
        let bytes = bytes.saturating_sub(released_before * PAGE_BYTES);
        self.accounts.counters.add_released(bytes);
        self.release_records(chunk, runs);
        bytes
    }
}
