//! What a heap lock protects: a shard's page allocator, the arena it grows from, and the pages in flight.
//!
//! First fit, with one exception: a heap that has outgrown its small pages (see `huge`) takes long runs above them, where a
//! huge page costs one fault. Small spans fill the gaps below. If nothing above fits, the run may lie anywhere.
//!
//! Locks: every function here runs under the heap lock. `grow` makes the one kind of system call that is allowed there.

use super::arena::Arena;
use crate::accounts::working_set::WorkingSet;
use crate::pages::{Fault, PageAllocator, Root, RootTable, Taken};
use crate::span::{self, SpanMap};
use crate::sys;
use crate::units::{CHUNK_PAGES, PAGE_BYTES, Page, Run};

use super::huge_map::{SMALL_PAGES, UNUSED_PAGES};
use super::index::ScavengeIndex;
use super::limit::Limit;

/// The most retained pages that may all be in processors' caches.
pub(super) const MOST_CACHED_PAGES: usize = (32 << 20) / PAGE_BYTES;

/// Runs of so many pages and more are long.
const LONG_PAGES: usize = (64 << 10) / PAGE_BYTES;

/// A run that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Its length.
    pub pages: usize,
    /// What its first page is a multiple of.
    pub align_pages: usize,
    /// Whether it must lie in one region of the span map, as a small span does.
    pub in_region: bool,
}

impl Request {
    fn region_align(&self) -> usize {
        self.align_pages.max(self.pages.next_power_of_two())
    }
}

/// What growth writes to beside the heap that grows; all heaps share it.
pub struct Tables<'a> {
    /// The span map.
    pub span_map: &'a SpanMap,
    /// The scavenge index.
    pub index: &'a ScavengeIndex,
    /// The hard limit.
    pub limit: &'a Limit,
    /// Whose heap it is.
    pub shard: usize,
}

/// See the module's header.
pub struct PageHeap {
    pub(crate) allocator: PageAllocator,
    pub(crate) arena: Arena,
    /// Pages that a scavenger holds while it releases them: neither free nor in use.
    pub(crate) in_flight_pages: usize,
    /// How often pages went into flight; wraps.
    flights: usize,
    /// Pages at the heap's beginning that are never used (see `huge`): neither mapped nor in use, by the heap's books.
    pub(crate) unused_pages: usize,
    /// Whether the heap is to begin on small pages.
    pub(crate) begins_small: bool,
    /// Where those end, if it does.
    small_end: Option<Page>,
    /// Of the retained pages.
    working_set: WorkingSet,
}

/// The pages that growth added, for what is to be done about them after the lock has dropped.
#[derive(Clone, Copy, Default, Debug)]
pub struct Grown {
    pub(crate) runs: [Option<Run>; 2],
    /// Up to where the last run's reservation is accessible.
    pub(crate) accessible_end: usize,
    /// Whether the last run is the heap's beginning, and its first huge page is to be small pages.
    pub(crate) begins_small: bool,
}

impl Grown {
    /// All pages added.
    pub fn pages(&self) -> usize {
        self.runs.iter().flatten().map(|run| run.pages).sum()
    }
}

impl PageHeap {
    /// No pages, no table.
    pub const fn new() -> Self {
        Self {
            allocator: PageAllocator::new(),
            arena: Arena::new(),
            in_flight_pages: 0,
            flights: 0,
            unused_pages: 0,
            begins_small: false,
            small_end: None,
            working_set: WorkingSet::new(),
        }
    }

    /// Pages that the heap has, in whatever state.
    pub fn mapped_pages(&self) -> usize {
        self.allocator.mapped_pages() - self.unused_pages
    }

    /// Pages that are free and backed.
    pub fn retained_pages(&self) -> usize {
        self.allocator.free_pages() - self.allocator.scavenged_pages()
    }

    /// How many of them its own threads do not need.
    pub fn excess_pages(&mut self, epoch: u32) -> usize {
        self.working_set.excess(epoch, self.retained_pages(), MOST_CACHED_PAGES)
    }

    /// [`PageHeap::take`] for another shard: only of that.
    pub fn take_excess(&mut self, index: &ScavengeIndex, request: Request, epoch: u32) -> Option<Taken> {
        if self.excess_pages(epoch) < request.pages {
            return None;
        }
        let taken = self.take(index, request)?;
        self.working_set.lent(request.pages - taken.scavenged_pages);
        Some(taken)
    }

    /// Pages were taken, freed or released.
    pub fn note_retained(&mut self) -> usize {
        let retained = self.retained_pages();
        self.working_set.fell_to(retained);
        retained
    }

    /// Pages go into flight.
    pub fn begin_flight(&mut self, pages: usize) {
        self.in_flight_pages += pages;
        self.flights = self.flights.wrapping_add(1);
    }

    /// Pages in flight, and how often some have gone.
    pub fn flights(&self) -> (usize, usize) {
        (self.in_flight_pages, self.flights)
    }

    /// Takes a run of what there is. `None` if no free run fits.
    pub fn take(&mut self, index: &ScavengeIndex, request: Request) -> Option<Taken> {
        let taken = self.take_anywhere(request.pages, request.align_pages)?;
        if !request.in_region || !span::crosses_region(taken.run) {
            return Some(taken);
        }
        // Rare. A run aligned to the next power of two of its size crosses none; to align every run so would leave a gap
        // behind most of them.
        or_abort(self.allocator.free(taken.run));
        index.mark(taken.run);
        self.take_anywhere(request.pages, request.region_align())
    }

    fn take_anywhere(&mut self, pages: usize, align_pages: usize) -> Option<Taken> {
        self.take_above_small(pages, align_pages).or_else(|| self.allocator.alloc_aligned(pages, align_pages))
    }

    /// Takes a run, growing the heap if it must; the growth is retried in the same critical section, so the thread that
    /// grew the heap is sure of its run. `None` if the OS gives no more memory.
    pub fn take_or_grow(&mut self, tables: &Tables, request: Request) -> Option<(Taken, Grown)> {
        if let Some(taken) = self.take(tables.index, request) {
            return Some((taken, Grown::default()));
        }
        // An aligned run needs room before it, unless growth begins aligned anyway.
        let align_pages = if request.in_region { request.region_align() } else { request.align_pages };
        let slack = if align_pages > CHUNK_PAGES { align_pages } else { 0 };
        let is_first = self.allocator.mapped_pages() == 0;
        let mut grown = self.grow(tables, request.pages.checked_add(slack)?)?;
        if is_first && self.begins_small && request.pages.checked_add(align_pages)? <= CHUNK_PAGES - UNUSED_PAGES {
            self.leave_unused(&mut grown);
        }
        Some((self.take(tables.index, request)?, grown))
    }

    /// In a heap that has outgrown its small pages, or is about to, long runs are taken above those: they would be touched
    /// page by page.
    fn take_above_small(&mut self, pages: usize, align_pages: usize) -> Option<Taken> {
        let floor = self.small_end?;
        let in_use = self.mapped_pages() - self.allocator.free_pages();
        let is_large_heap = in_use >= 2 * SMALL_PAGES || pages >= SMALL_PAGES / 2;
        if pages < LONG_PAGES || align_pages != 1 || !is_large_heap {
            return None;
        }
        self.allocator.alloc_above(floor, pages)
    }

    /// Takes the heap's first pages out of use.
    fn leave_unused(&mut self, grown: &mut Grown) {
        let Some(run) = grown.runs[1].filter(|_| UNUSED_PAGES != 0) else { return };
        if self.allocator.alloc_exact(Run { pages: UNUSED_PAGES, ..run }).is_some() {
            self.unused_pages = UNUSED_PAGES;
            self.small_end = Some(run.first.plus(UNUSED_PAGES + SMALL_PAGES));
            grown.begins_small = true;
        }
    }

    /// Maps whole chunks for `pages` more pages. They are free and count as scavenged.
    fn grow(&mut self, tables: &Tables, pages: usize) -> Option<Grown> {
        let whole = pages.checked_next_multiple_of(CHUNK_PAGES)?;
        if !self.has_table() || !tables.limit.take(whole) {
            return None;
        }
        let Some(growth) = pages.checked_mul(PAGE_BYTES).and_then(|bytes| self.arena.grow(bytes)) else {
            tables.limit.give_back(whole);
            return None;
        };
        if growth.run.pages == 0 {
            // Only the rest of the reservation before is accessible.
            tables.limit.give_back(whole);
        }
        let mut grown = Grown { accessible_end: self.arena.accessible_end(), ..Grown::default() };
        for (place, (run, is_counted)) in grown.runs.iter_mut().zip([(growth.rest, false), (Some(growth.run), true)]) {
            let run = run.filter(|run| run.pages != 0);
            let Some(run) = run.filter(|run| is_counted || tables.limit.take(run.pages)) else {
                // The rest of the reservation before, beyond what was asked for, is not used any more where the limit does not
                // allow it: it was not touched.
                continue;
            };
            if !self.describe(tables, run) {
                // No metadata for it now: it stays where growth takes it from.
                self.arena.give_back(run);
                tables.limit.give_back(run.pages);
                continue;
            }
            or_abort(self.allocator.grow(run));
            *place = Some(run);
        }
        Some(grown)
    }

    /// Whether the page allocator has its table, which it gets at the first growth.
    fn has_table(&mut self) -> bool {
        if !self.allocator.has_table() {
            let Some(table) = sys::vm::map_metadata(size_of::<RootTable>()) else { return false };
            // SAFETY: zeroed, fresh, page aligned and never unmapped; all-zero bytes are a valid root table (`pages`).
            or_abort(self.allocator.attach(unsafe { table.cast().as_mut() }));
        }
        true
    }

    /// Makes sure that bitmaps, summaries, scavenge index and span map have metadata for `run`.
    fn describe(&mut self, tables: &Tables, run: Run) -> bool {
        for root in run.first.chunk().root()..=Page(run.end().0 - 1).chunk().root() {
            if !tables.index.prepare(root) {
                return false;
            }
            if !self.allocator.has_root(root) {
                let Some(memory) = sys::vm::map_metadata(size_of::<Root>()) else { return false };
                // SAFETY: fresh zeroed memory that is never unmapped; all-zero bytes are a valid root (`pages`).
                or_abort(self.allocator.add_root(root, unsafe { memory.cast().as_mut() }));
            }
        }
        while let Some(region) = tables.span_map.missing_region(run) {
            let Some(metadata) = sys::vm::map_metadata(span::REGION_METADATA_BYTES) else { return false };
            // SAFETY: fresh zeroed memory of that size, page aligned, never unmapped.
            unsafe { tables.span_map.publish(region, metadata) };
        }
        tables.index.set_owner(run, tables.shard);
        true
    }
}

/// Ends the process if the page allocator found that it was misused: the heap's state is corrupt then.
#[track_caller]
pub fn or_abort<T>(result: Result<T, Fault>) -> T {
    match result {
        Ok(value) => value,
        Err(fault) => sys::fatal!("page heap", "{fault}"),
    }
}
