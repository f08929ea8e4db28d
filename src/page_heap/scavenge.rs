//! Scavenging: chooses free pages and gives them back to the OS. No lock is held while the kernel works.
//!
//! This is the protocol of the Go runtime at commit 4f543b59, with Go's later index in place of reservations of address
//! ranges:
//! 1. `scavenge` is entered without any lock. It finds a marked chunk in the index and claims the chunk's mark.
//! 2. Under the heap lock it searches the chunk's bitmaps for free runs that are retained, and marks the runs allocated.
//! 3. It drops the lock, and `release` releases the runs.
//! 4. Under the heap lock again, `release` frees the runs and sets their scavenged bits in the same critical section.
//!
//! So nobody can be handed a page that is being released, and nobody waits for the kernel.
//!
//! Invariants:
//! 1. A run in flight is neither free nor in use. `in_flight_pages` counts its pages, under the heap lock.
//! 2. A chunk whose mark was claimed is searched to its end, or marked again, or postponed.
//!
//! Locks: scavenge, then heap, one at a time; none during a release.

use crate::units::{CHUNK_PAGES, Chunk, PAGE_BYTES, Page, Run};

use super::PageHeaps;
use super::huge_map::{HUGE_PAGES_PER_CHUNK, huge_page};
use super::options::{ReleaseOptions, Scavenged};
use super::release::{BATCH, NO_RUNS};
use super::single::or_abort;

/// A chunk with at least this many pages in use is dense, and keeps its huge pages.
const DENSE_PAGES: usize = CHUNK_PAGES * 96 / 100;

impl PageHeaps {
    /// Releases at least `wanted_bytes` of free memory, or all free memory. Entered without any lock.
    pub fn scavenge(&self, wanted_bytes: usize, options: ReleaseOptions) -> Scavenged {
        self.scavenge_chunks(wanted_bytes, options, usize::MAX)
    }

    /// Does [`PageHeaps::scavenge`], but searches at most `most_chunks` chunks.
    pub(super) fn scavenge_chunks(
        &self,
        wanted_bytes: usize,
        options: ReleaseOptions,
        most_chunks: usize,
    ) -> Scavenged {
        let mut chunks = 0;
        let mut result = Scavenged::default();
        if options.split_huge_pages {
            self.index.mark_postponed(self.high_chunk());
        }
        let start = self.index.start();
        let mut end = None;
        let mut first = true;
        self.begin_pass();
        while result.bytes < wanted_bytes && chunks < most_chunks && !options.is_spent() {
            chunks += 1;
            // The search is optimistic: it holds no lock. The chunk that it finds is claimed, and searched under the heap
            // lock.
            let Some(chunk) = self.index.find(start, end) else {
                if first {
                    self.index.lower(start, Chunk(0));
                }
                result.exhausted = true;
                break;
            };
            if first {
                self.index.lower(start, Chunk(chunk.0 + 1));
                first = false;
            }
            end = Some(chunk);
            if !self.claim(chunk) {
                continue;
            }
            let (bytes, more) = self.scavenge_chunk(chunk, wanted_bytes - result.bytes, options);
            result.bytes += bytes;
            if more {
                self.index.mark_chunk(chunk);
            }
        }
        result
    }

    fn begin_pass(&self) {
        self.scavenge_state.lock().begin_pass();
    }

    /// Claims a chunk, so that no other thread searches it. `false` if another thread was faster.
    fn claim(&self, chunk: Chunk) -> bool {
        let _state = self.scavenge_state.lock();
        self.index.claim(chunk)
    }

    /// Releases about `wanted_bytes` in one chunk at most. Returns how many bytes it released, and whether the chunk may
    /// have more.
    fn scavenge_chunk(&self, chunk: Chunk, wanted_bytes: usize, options: ReleaseOptions) -> (usize, bool) {
        if !options.split_huge_pages && self.huge_map.may_be_huge(chunk) {
            return (self.scavenge_huge_pages(chunk, options), false);
        }
        let unit = self.accounts.release_unit_pages();
        let huge_page_pages = self.huge_map.huge_page_pages();
        let mut released = 0;
        let mut from = CHUNK_PAGES - 1;
        loop {
            let mut batch = NO_RUNS;
            let mut runs = 0;
            let mut pages = 0;
            let mut more = true;
            {
                let mut page_heap = self.page_heap_of(chunk).lock();
                if released == 0
                    && self.huge_map.may_be_huge(chunk)
                    && (!options.include_dense && page_heap.allocator.chunk_in_use(chunk) >= DENSE_PAGES)
                {
                    // The chunk is left alone until a page of it is freed, or a search begins that may split huge pages.
                    self.index.postpone(chunk);
                    return (0, false);
                }
                while runs < BATCH && released + pages * PAGE_BYTES < wanted_bytes && more {
                    let wanted = (wanted_bytes - released - pages * PAGE_BYTES).div_ceil(PAGE_BYTES);
                    // The run is marked allocated here, so nobody can take it while it is released.
                    let candidate = page_heap.allocator.alloc_candidate(chunk, from, unit, wanted, huge_page_pages);
                    let Some(run) = candidate.run else {
                        more = false;
                        break;
                    };
                    more = candidate.more_below;
                    from = run.first.index_in_chunk().saturating_sub(1);
                    batch[runs] = run;
                    runs += 1;
                    pages += run.pages;
                }
                page_heap.begin_flight(pages);
                self.publish_retained(self.index.owner(chunk), &mut page_heap);
            }
            if runs == 0 {
                return (released, false);
            }
            released += self.release_batch(chunk, &batch[..runs], 0, options);
            if !more {
                return (released, false);
            }
            if released >= wanted_bytes || options.is_spent() {
                return (released, true);
            }
        }
    }

    /// Releases the huge pages of a chunk that are wholly free. The chunk's other free pages wait until huge pages may be
    /// split. Returns the bytes released.
    fn scavenge_huge_pages(&self, chunk: Chunk, options: ReleaseOptions) -> usize {
        let mut batch = [Run { first: Page(0), pages: 0 }; HUGE_PAGES_PER_CHUNK];
        let mut runs = 0;
        let mut released_before = 0;
        {
            let mut page_heap = self.page_heap_of(chunk).lock();
            for part in 0..HUGE_PAGES_PER_CHUNK {
                let run = huge_page(chunk, part);
                // The huge page is marked allocated here, if all of it is free.
                let Some(taken) = page_heap.allocator.alloc_exact(run) else { continue };
                if taken.scavenged_pages == run.pages {
                    or_abort(page_heap.allocator.free_scavenged(run));
                    continue;
                }
                batch[runs] = run;
                runs += 1;
                released_before += taken.scavenged_pages;
                page_heap.begin_flight(run.pages);
            }
            if page_heap.allocator.chunk_retained(chunk) != 0 {
                self.index.postpone(chunk);
            }
            self.publish_retained(self.index.owner(chunk), &mut page_heap);
        }
        if runs == 0 { 0 } else { self.release_batch(chunk, &batch[..runs], released_before, options) }
    }
}
