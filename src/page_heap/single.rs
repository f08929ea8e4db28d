//! One page heap, which is what a heap lock protects: a page allocator, the arena that it grows from, and the pages in
//! flight.
//!
//! A run is taken by first fit, with one exception. A page heap that has outgrown its small pages (see `huge_pages`) takes
//! long runs above the small pages, where a huge page costs one fault. Small spans fill the gaps below. If no run above
//! fits, the run may lie anywhere.
//!
//! Locks: the caller holds the heap lock around each function. `grow` makes the only system calls that are allowed under a
//! lock.

use super::arena::Arena;
use crate::accounts::working_set::WorkingSet;
use crate::pages::{Fault, PageAllocator, Root, RootTable, Taken};
use crate::span::{self, SpanMap};
use crate::sys;
use crate::units::{CHUNK_PAGES, PAGE_BYTES, Page, Run};

use super::huge_map::{SMALL_PAGES, UNUSED_PAGES};
use super::index::ScavengeIndex;
use super::limit::Limit;

/// The most retained pages that processors' caches may hold all together.
pub(super) const MOST_CACHED_PAGES: usize = (32 << 20) / PAGE_BYTES;

/// A run of at least so many pages is long.
const LONG_PAGES: usize = (64 << 10) / PAGE_BYTES;

/// A request for a run.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The run's length.
    pub pages: usize,
    /// The run's first page is a multiple of this.
    pub align_pages: usize,
    /// Whether the run must lie in one region of the span map. A small span must.
    pub in_region: bool,
}

impl Request {
    /// An alignment with which no run of this length crosses a region.
    fn region_align(&self) -> usize {
        self.align_pages.max(self.pages.next_power_of_two())
    }
}

/// The tables that growth changes and that all page heaps share.
pub struct Tables<'a> {
    /// The span map.
    pub span_map: &'a SpanMap,
    /// The scavenge index.
    pub index: &'a ScavengeIndex,
    /// The hard limit.
    pub limit: &'a Limit,
    /// The shard of the page heap that grows.
    pub shard: usize,
}

/// A page heap. See the module's header.
pub struct PageHeap {
    pub(crate) allocator: PageAllocator,
    pub(crate) arena: Arena,
    /// Pages in flight: a scavenger is releasing them, so they are neither free nor in use.
    pub(crate) in_flight_pages: usize,
    /// How often pages went into flight; wraps.
    flights: usize,
    /// Pages at the page heap's beginning that are never used (see `huge_pages`). The accounts count them neither as mapped
    /// nor as in use.
    pub(crate) unused_pages: usize,
    /// Whether the page heap is to begin on small pages.
    pub(crate) begins_small: bool,
    /// The end of the small pages, if the page heap began on small pages.
    small_end: Option<Page>,
    /// The working set of the retained pages.
    working_set: WorkingSet,
}

/// The pages that a growth added, for the work after the lock has dropped (`growth`).
#[derive(Clone, Copy, Default, Debug)]
pub struct Grown {
    /// The rest of the reservation before, and the new chunks.
    pub(crate) runs: [Option<Run>; 2],
    /// The end of the accessible memory behind the new chunks.
    pub(crate) accessible_end: usize,
    /// Whether the new chunks are the page heap's beginning, whose first huge page is left to small pages.
    pub(crate) begins_small: bool,
}

impl Grown {
    /// How many pages the growth added.
    pub fn pages(&self) -> usize {
        self.runs.iter().flatten().map(|run| run.pages).sum()
    }
}

impl PageHeap {
    /// A page heap without pages and without a table.
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

    /// All pages of the page heap, in whatever state.
    pub fn mapped_pages(&self) -> usize {
        self.allocator.mapped_pages() - self.unused_pages
    }

    /// Pages that are retained: free and backed.
    pub fn retained_pages(&self) -> usize {
        self.allocator.free_pages() - self.allocator.scavenged_pages()
    }

    /// The excess of the retained pages: the pages that the page heap's own threads did not need lately.
    pub fn excess_pages(&mut self, epoch: u32) -> usize {
        self.working_set.excess(epoch, self.retained_pages(), MOST_CACHED_PAGES)
    }

    /// Does [`PageHeap::take`] for another shard's thread, if the excess is large enough.
    pub fn take_excess(&mut self, index: &ScavengeIndex, request: Request, epoch: u32) -> Option<Taken> {
        if self.excess_pages(epoch) < request.pages {
            return None;
        }
        let taken = self.take(index, request)?;
        self.working_set.lent(request.pages - taken.scavenged_pages);
        Some(taken)
    }

    /// Notes the retained pages for the working set, and returns them. Called after pages were taken, freed or released.
    pub fn note_retained(&mut self) -> usize {
        let retained = self.retained_pages();
        self.working_set.fell_to(retained);
        retained
    }

    /// Notes that pages go into flight.
    pub fn begin_flight(&mut self, pages: usize) {
        self.in_flight_pages += pages;
        self.flights = self.flights.wrapping_add(1);
    }

    /// The pages in flight, and how often pages went into flight.
    pub fn flights(&self) -> (usize, usize) {
        (self.in_flight_pages, self.flights)
    }

    /// Takes a free run. `None` if no free run fits.
    pub fn take(&mut self, index: &ScavengeIndex, request: Request) -> Option<Taken> {
        let taken = self.take_anywhere(request.pages, request.align_pages)?;
        if !request.in_region || !span::crosses_region(taken.run) {
            return Some(taken);
        }
        // This is rare. A run that is aligned to the next power of two of its length crosses no region. To align each run
        // like this would leave a gap behind most runs.
        or_abort(self.allocator.free(taken.run));
        index.mark(taken.run);
        self.take_anywhere(request.pages, request.region_align())
    }

    fn take_anywhere(&mut self, pages: usize, align_pages: usize) -> Option<Taken> {
        self.take_above_small(pages, align_pages).or_else(|| self.allocator.alloc_aligned(pages, align_pages))
    }

    /// Takes a run. If no free run fits, the page heap grows, and the run is taken in the same critical section: so the
    /// thread that grew the page heap is sure of its run. `None` if the OS gives no more memory.
    pub fn take_or_grow(&mut self, tables: &Tables, request: Request) -> Option<(Taken, Grown)> {
        if let Some(taken) = self.take(tables.index, request) {
            return Some((taken, Grown::default()));
        }
        // An aligned run needs room before it, unless each chunk begins aligned.
        let align_pages = if request.in_region { request.region_align() } else { request.align_pages };
        let slack = if align_pages > CHUNK_PAGES { align_pages } else { 0 };
        let is_first = self.allocator.mapped_pages() == 0;
        let mut grown = self.grow(tables, request.pages.checked_add(slack)?)?;
        if is_first && self.begins_small && request.pages.checked_add(align_pages)? <= CHUNK_PAGES - UNUSED_PAGES {
            self.leave_unused(&mut grown);
        }
        Some((self.take(tables.index, request)?, grown))
    }

    /// Takes a long run above the small pages, if the page heap has outgrown its small pages or is about to. On small pages
    /// each page of the run would cost a fault.
    fn take_above_small(&mut self, pages: usize, align_pages: usize) -> Option<Taken> {
        let floor = self.small_end?;
        let in_use = self.mapped_pages() - self.allocator.free_pages();
        let is_large_heap = in_use >= 2 * SMALL_PAGES || pages >= SMALL_PAGES / 2;
        if pages < LONG_PAGES || align_pages != 1 || !is_large_heap {
            return None;
        }
        self.allocator.alloc_above(floor, pages)
    }

    /// Takes the page heap's first pages out of use for good.
    fn leave_unused(&mut self, grown: &mut Grown) {
        let Some(run) = grown.runs[1].filter(|_| UNUSED_PAGES != 0) else { return };
        if self.allocator.alloc_exact(Run { pages: UNUSED_PAGES, ..run }).is_some() {
            self.unused_pages = UNUSED_PAGES;
            self.small_end = Some(run.first.plus(UNUSED_PAGES + SMALL_PAGES));
            grown.begins_small = true;
        }
    }

    /// Maps whole chunks for `pages` more pages. The pages are free and released.
    fn grow(&mut self, tables: &Tables, pages: usize) -> Option<Grown> {
        let whole = pages.checked_next_multiple_of(CHUNK_PAGES)?;
        if !self.make_table() || !tables.limit.take(whole) {
            return None;
        }
        let Some(growth) = pages.checked_mul(PAGE_BYTES).and_then(|bytes| self.arena.grow(bytes)) else {
            tables.limit.give_back(whole);
            return None;
        };
        if growth.run.pages == 0 {
            // The OS made only the rest of the reservation before accessible.
            tables.limit.give_back(whole);
        }
        let mut grown = Grown { accessible_end: self.arena.accessible_end(), ..Grown::default() };
        for (place, (run, is_counted)) in grown.runs.iter_mut().zip([(growth.rest, false), (Some(growth.run), true)]) {
            let run = run.filter(|run| run.pages != 0);
            let Some(run) = run.filter(|run| is_counted || tables.limit.take(run.pages)) else {
                // The hard limit does not allow the rest of the reservation before. The rest stays unused: it was never
                // touched.
                continue;
            };
            if !self.make_metadata(tables, run) {
                // The OS gives no memory for metadata now. The arena takes the run back, for a later growth.
                self.arena.give_back(run);
                tables.limit.give_back(run.pages);
                continue;
            }
            or_abort(self.allocator.grow(run));
            *place = Some(run);
        }
        Some(grown)
    }

    /// Makes sure that the page allocator has its table, which it gets at the first growth. `false` if the OS gives no
    /// memory.
    fn make_table(&mut self) -> bool {
        if !self.allocator.has_table() {
            let Some(table) = sys::vm::map_metadata(size_of::<RootTable>()) else { return false };
            // SAFETY: the memory is fresh, zeroed, page aligned and never unmapped. All-zero bytes are a valid root table
            // (`pages`).
            or_abort(self.allocator.attach(unsafe { table.cast().as_mut() }));
        }
        true
    }

    /// Makes sure that bitmaps, summaries, scavenge index and span map have metadata for `run`. `false` if the OS gives no
    /// memory.
    fn make_metadata(&mut self, tables: &Tables, run: Run) -> bool {
        for root in run.first.chunk().root()..=Page(run.end().0 - 1).chunk().root() {
            if !tables.index.prepare(root) {
                return false;
            }
            if !self.allocator.has_root(root) {
                let Some(memory) = sys::vm::map_metadata(size_of::<Root>()) else { return false };
                // SAFETY: the memory is fresh, zeroed, page aligned and never unmapped. All-zero bytes are a valid root
                // (`pages`).
                or_abort(self.allocator.add_root(root, unsafe { memory.cast().as_mut() }));
            }
        }
        while let Some(region) = tables.span_map.missing_region(run) {
            let Some(metadata) = sys::vm::map_metadata(span::REGION_METADATA_BYTES) else { return false };
            // SAFETY: the memory is fresh, zeroed, page aligned, of the right size and never unmapped.
            unsafe { tables.span_map.publish(region, metadata) };
        }
        tables.index.set_owner(run, tables.shard);
        true
    }
}

/// Ends the process if the page allocator found a misuse: the state of the heap is corrupt then.
#[track_caller]
pub fn or_abort<T>(result: Result<T, Fault>) -> T {
    match result {
        Ok(value) => value,
        Err(fault) => sys::fatal!("page heap", "{fault}"),
    }
}
