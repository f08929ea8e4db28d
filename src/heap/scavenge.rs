//! Scavenging: giving free pages back to the OS without holding the heap lock meanwhile.
//!
//! This is the protocol of the Go runtime at commit 4f543b59, with its later index in the place of address-range
//! reservations: `scavenge` is entered without any lock; it claims a chunk, takes the heap lock to find runs of free
//! pages for real and to mark them allocated, drops the lock, releases, and takes it again to free the runs the usual way
//! with their scavenged bits set before anyone can see them. Nobody can be handed a page that is being released, and
//! nobody waits for the kernel.
//!
//! Invariants:
//! 1. A run in flight is neither free nor in use: `in_flight_pages` counts it, under the heap lock.
//! 2. A chunk whose mark was claimed is searched to its end, or marked again.
//!
//! Locks: scavenge, then heap, one at a time; none during a release. Why a batch: several short runs cost one pair of
//! acquisitions and one system call.

use core::ptr::NonNull;

use crate::pages::Fault;
use crate::span::RECORD_BYTES;
use crate::sys;
use crate::units::{CHUNK_PAGES, Chunk, PAGE_BYTES, Page, Run};

use super::Heap;
use super::huge::{Cuts, HUGE_PAGES_PER_CHUNK, huge_page};
use super::page_heap::{Grown, or_abort};

/// Runs released in one go.
const BATCH: usize = if cfg!(loom) { 2 } else { 32 };
/// Chunks that a thread searches which made the heap grow: its caller waits.
const CHUNKS_AFTER_GROWTH: usize = 32;
/// A chunk with at least this many pages in use is dense: worth its huge pages.
const DENSE_PAGES: usize = CHUNK_PAGES * 96 / 100;

/// The scavenger's own fields, under their own lock.
pub struct ScavengeState {
    /// Passes over the heap begun so far.
    generation: u64,
    /// The lowest page released in this generation, if any: how far down the heap the scavenger has come.
    low_water: Option<Page>,
}

impl ScavengeState {
    /// Nothing released yet.
    pub const fn new() -> Self {
        Self { generation: 0, low_water: None }
    }

    /// The generation and its low-water mark.
    pub fn progress(&self) -> (u64, Option<Page>) {
        (self.generation, self.low_water)
    }
}

/// How hard to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReleaseOptions {
    /// Release from dense chunks on huge pages too.
    pub include_dense: bool,
    /// Split huge pages for a partial release; without this they are released whole or not at all.
    pub split_huge_pages: bool,
    /// Stop when the thread's CPU clock has passed this, if given.
    pub until_cpu_ns: Option<u64>,
}

impl ReleaseOptions {
    /// Everything that is free.
    pub const FULL: Self = Self { include_dense: true, split_huge_pages: true, until_cpu_ns: None };

    pub(super) fn is_spent(&self) -> bool {
        self.until_cpu_ns.is_some_and(|until| sys::thread::thread_cpu_time_ns() >= until)
    }
}

/// What a scavenge came to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Scavenged {
    /// Bytes given back.
    pub bytes: usize,
    /// The whole index was searched and nothing that may be released was left.
    pub exhausted: bool,
}

impl Heap {
    /// Releases at least `want_bytes` of free memory, or all there is. Entered without any lock.
    pub fn scavenge(&self, want_bytes: usize, options: ReleaseOptions) -> Scavenged {
        self.scavenge_some(want_bytes, options, usize::MAX)
    }

    /// The same in `most_chunks` chunks at most.
    fn scavenge_some(&self, want_bytes: usize, options: ReleaseOptions, most_chunks: usize) -> Scavenged {
        let mut chunks = 0;
        let mut result = Scavenged::default();
        if options.split_huge_pages {
            self.index.mark_postponed(self.high_chunk());
        }
        let start = self.index.start();
        let mut end = None;
        let mut first = true;
        self.begin_pass();
        while result.bytes < want_bytes && chunks < most_chunks && !options.is_spent() {
            chunks += 1;
            // Optimistic: nothing is locked. What the search found is claimed, and looked at again under the heap lock.
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
            if !self.reserve(chunk) {
                continue;
            }
            let (bytes, left) = self.scavenge_chunk(chunk, want_bytes - result.bytes, options);
            result.bytes += bytes;
            if left {
                self.index.mark_chunk(chunk);
            }
        }
        result
    }

    fn begin_pass(&self) {
        let mut state = self.scavenge.lock();
        state.generation = state.generation.wrapping_add(1);
        state.low_water = None;
    }

    /// Reserves a chunk for this scavenger alone.
    fn reserve(&self, chunk: Chunk) -> bool {
        let _state = self.scavenge.lock();
        self.index.claim(chunk)
    }

    /// Releases up to about `want_bytes` in one chunk. Says how much it was, and whether there may be more.
    fn scavenge_chunk(&self, chunk: Chunk, want_bytes: usize, options: ReleaseOptions) -> (usize, bool) {
        if !options.split_huge_pages && self.huge.may_be_huge(chunk) {
            return (self.scavenge_huge_pages(chunk, options), false);
        }
        let unit = self.release_unit_pages();
        let huge_page_pages = self.huge.huge_page_pages();
        let mut released = 0;
        let mut from = CHUNK_PAGES - 1;
        loop {
            let mut batch = [Run { first: Page(0), pages: 0 }; BATCH];
            let mut runs = 0;
            let mut pages = 0;
            let mut more = true;
            {
                let mut heap = self.page_heap_of(chunk).lock();
                if released == 0
                    && self.huge.may_be_huge(chunk)
                    && (!options.include_dense && heap.allocator.chunk_in_use(chunk) >= DENSE_PAGES)
                {
                    // Left alone until something is freed here, or somebody asks for everything.
                    self.index.postpone(chunk);
                    return (0, false);
                }
                while runs < BATCH && released + pages * PAGE_BYTES < want_bytes && more {
                    let wanted = (want_bytes - released - pages * PAGE_BYTES).div_ceil(PAGE_BYTES);
                    let candidate = heap.allocator.take_candidate(chunk, from, unit, wanted, huge_page_pages);
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
                heap.begin_flight(pages);
                self.publish_retained(self.index.owner(chunk), &mut heap);
            }
            if runs == 0 {
                return (released, false);
            }
            released += self.release_batch(chunk, &batch[..runs], 0, options);
            if !more {
                return (released, false);
            }
            if released >= want_bytes || options.is_spent() {
                return (released, true);
            }
        }
    }

    /// Releases those huge pages of a chunk all of which is free. What else is free there waits until huge pages may be
    /// split. Returns the bytes.
    fn scavenge_huge_pages(&self, chunk: Chunk, options: ReleaseOptions) -> usize {
        let mut batch = [Run { first: Page(0), pages: 0 }; HUGE_PAGES_PER_CHUNK];
        let mut runs = 0;
        let mut released_before = 0;
        {
            let mut heap = self.page_heap_of(chunk).lock();
            for part in 0..HUGE_PAGES_PER_CHUNK {
                let run = huge_page(chunk, part);
                let Some(taken) = heap.allocator.alloc_exact(run) else { continue };
                if taken.scavenged_pages == run.pages {
                    or_abort(heap.allocator.free_scavenged(run));
                    continue;
                }
                batch[runs] = run;
                runs += 1;
                released_before += taken.scavenged_pages;
                heap.begin_flight(run.pages);
            }
            if heap.allocator.chunk_retained(chunk) != 0 {
                self.index.postpone(chunk);
            }
            self.publish_retained(self.index.owner(chunk), &mut heap);
        }
        if runs == 0 { 0 } else { self.release_batch(chunk, &batch[..runs], released_before, options) }
    }

    /// Releases runs of a chunk that are in flight, and frees them the usual way. Returns the bytes that went back to the OS:
    /// `released_before` of the pages were released already.
    fn release_batch(&self, chunk: Chunk, runs: &[Run], released_before: usize, options: ReleaseOptions) -> usize {
        {
            let mut state = self.scavenge.lock();
            for run in runs {
                state.low_water = Some(state.low_water.map_or(run.first, |low| low.min(run.first)));
            }
        }
        let mut ranges = [(NonNull::dangling(), 0); BATCH];
        let mut cuts = Cuts::<{ 2 * BATCH }>::new();
        for (range, run) in ranges.iter_mut().zip(runs) {
            *range = (address(run.first.address()), run.bytes());
            self.before_release(*run, options, &mut cuts);
        }
        // SAFETY: the runs are in flight, so nobody uses their memory or can be handed it.
        let refused_from = match unsafe { sys::vm::release_many(&ranges[..runs.len()]) } {
            Ok(()) => runs.len(),
            Err(stopped) => stopped.released,
        };
        self.after_release(&cuts, refused_from == runs.len());
        let mut bytes = 0;
        {
            let mut heap = self.page_heap_of(chunk).lock();
            for (index, run) in runs.iter().enumerate() {
                let result: Result<(), Fault> = if index < refused_from {
                    bytes += run.bytes();
                    heap.allocator.free_scavenged(*run)
                } else {
                    // Locked in memory, perhaps. It stays retained, and is not tried again until it was used or somebody
                    // asks for everything.
                    self.index.postpone(chunk);
                    heap.allocator.free(*run)
                };
                or_abort(result);
                heap.in_flight_pages -= run.pages;
            }
            self.publish_retained(self.index.owner(chunk), &mut heap);
        }
        let bytes = bytes.saturating_sub(released_before * PAGE_BYTES);
        self.counters.add_released(bytes);
        self.release_records(chunk, runs);
        bytes
    }

    /// Gives back the memory of span records: those of aligned blocks of 64 pages that these runs of a chunk touched
    /// and that are wholly free and released. By the same protocol: a block is taken while that happens, so that nobody
    /// can make a span in it. A huge page that was split and is all such blocks now may be a huge page again.
    fn release_records(&self, chunk: Chunk, runs: &[Run]) {
        let record_bytes = RECORD_PAGES * RECORD_BYTES;
        if !record_bytes.is_multiple_of(self.os_page_bytes()) {
            return;
        }
        let touched = runs.iter().fold(0u64, |blocks, run| {
            let (first, last) = (run.first.index_in_chunk(), run.end().0 - 1 - chunk.first_page().0);
            blocks | ((u64::MAX >> (63 - last / RECORD_PAGES)) & (u64::MAX << (first / RECORD_PAGES)))
        });
        let (mut taken, mut again) = (0, 0);
        {
            let mut heap = self.page_heap_of(chunk).lock();
            let released = heap.allocator.released_blocks(chunk);
            let mut blocks = released & touched;
            for part in 0..HUGE_PAGES_PER_CHUNK {
                let whole = huge_page_blocks(part);
                if touched & whole != 0 && released & whole == whole && self.is_split(chunk, part) {
                    blocks |= whole;
                    again |= whole;
                }
            }
            while blocks != 0 {
                let block = blocks.trailing_zeros() as usize;
                blocks &= blocks - 1;
                if heap.allocator.alloc_exact(record_block(chunk, block)).is_some() {
                    heap.begin_flight(RECORD_PAGES);
                    taken |= 1u64 << block;
                }
            }
        }
        let mut rest = taken;
        while rest != 0 {
            let first = rest.trailing_zeros() as usize;
            let count = (rest >> first).trailing_ones() as usize;
            rest &= !((u64::MAX >> (64 - count)) << first);
            if let Some(base) = self.map.record_address(record_block(chunk, first).first) {
                // SAFETY: every page of the blocks is held, so no record of them is live or can become so; released
                // records read as zero, which is dead. A refusal leaves them as they are, dead as well.
                let _ = unsafe { sys::vm::release_metadata(address(base), count * record_bytes) };
            }
        }
        for part in 0..HUGE_PAGES_PER_CHUNK {
            if taken & again & huge_page_blocks(part) == huge_page_blocks(part) {
                self.huge_page_again(chunk, part);
            }
        }
        if taken != 0 {
            let mut heap = self.page_heap_of(chunk).lock();
            for block in (0..CHUNK_PAGES / RECORD_PAGES).filter(|block| taken >> block & 1 == 1) {
                or_abort(heap.allocator.free_scavenged(record_block(chunk, block)));
                heap.in_flight_pages -= RECORD_PAGES;
            }
        }
    }

    /// Called after the heap lock has dropped: where growth put the heap above its goal, the thread that grew it releases
    /// some of what is retained instead, before it hands its span out.
    pub(crate) fn after_growth(&self, grown: Grown) {
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
        let (retained, in_use) = (self.counters.retained_bytes(), self.counters.in_use_bytes());
        let goal = self.wakeup.goal();
        let bytes =
            goal.growth_release_bytes(retained as u64, (retained + in_use) as u64, growth_bytes as u64) as usize;
        let released = if bytes == 0 {
            0
        } else {
            // Parts of huge pages are left to the scavenger, unless there is a limit to keep.
            let split_huge_pages = (retained + in_use + growth_bytes) as u64 > goal.backed_bytes;
            let options = ReleaseOptions { include_dense: false, split_huge_pages, until_cpu_ns: None };
            let released = self.scavenge_some(bytes, options, CHUNKS_AFTER_GROWTH).bytes;
            if split_huge_pages {
                self.split_huge_pages(CHUNKS_AFTER_GROWTH * HUGE_PAGES_PER_CHUNK, options);
            }
            released
        };
        self.counters.add_growth(released);
    }
}

/// Pages whose records are released together: a page of 4 KiB of records.
const RECORD_PAGES: usize = 64;

/// The blocks of a chunk that make up one of its huge pages.
fn huge_page_blocks(part: usize) -> u64 {
    let blocks = CHUNK_PAGES / RECORD_PAGES / HUGE_PAGES_PER_CHUNK;
    ((1 << blocks) - 1) << (part * blocks)
}

fn record_block(chunk: Chunk, block: usize) -> Run {
    Run { first: chunk.first_page().plus(block * RECORD_PAGES), pages: RECORD_PAGES }
}

/// A heap address as a pointer.
pub(super) fn address(address: usize) -> NonNull<u8> {
    // SAFETY: heap addresses lie in a reservation, and those are not at 0.
    unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(address)) }
}
