//! The page allocator: takes and frees runs of pages, and keeps the tree, the counters and the search addresses right.
//!
//! The allocator itself is small. Everything that grows lies in the root table and the roots, which the caller supplies as
//! zeroed memory. An operation costs time for its own run and at most five levels of the tree. No operation depends on the
//! size of the heap.
//!
//! The allocator answers misuse (a double free, a page that is not the heap's) with a `Fault` before it changes anything.
//!
//! Locks: none; the caller holds the heap lock.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, Chunk, Page, ROOTS, Run};

use super::candidate::Candidate;
use super::fault::{Fault, FaultKind};
use super::ranges::MappedRanges;
use super::root::Root;
use super::search_addresses::{LONGEST, SearchAddresses};
use super::table::{ROOT_PAGES, RootTable};

/// A run that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The run, in use from now on.
    pub run: Run,
    /// How many of its pages were released. Released pages fault in at the first touch, and read as zero.
    pub scavenged_pages: usize,
}

/// The page allocator. All-zero memory is a valid allocator that owns nothing.
pub struct PageAllocator {
    pub(super) table: Option<&'static mut RootTable>,
    pub(super) search: SearchAddresses,
    pub(super) free_pages: usize,
    pub(super) scavenged_pages: usize,
    pub(super) mapped_pages: usize,
    /// The first chunk above all mapped ones.
    pub(super) end: Chunk,
}

impl PageAllocator {
    /// An allocator that owns nothing yet.
    pub const fn new() -> Self {
        Self {
            table: None,
            search: SearchAddresses::new(),
            free_pages: 0,
            scavenged_pages: 0,
            mapped_pages: 0,
            end: Chunk(0),
        }
    }

    /// Supplies the root table, which must be empty.
    ///
    /// # Errors
    /// [`FaultKind::WrongTable`] if the allocator has a table already.
    pub fn attach(&mut self, table: &'static mut RootTable) -> Result<(), Fault> {
        if self.table.is_some() {
            return Err(Fault::new(FaultKind::WrongTable, Page(0)));
        }
        self.table = Some(table);
        Ok(())
    }

    /// Whether there is a root table.
    pub fn has_table(&self) -> bool {
        self.table.is_some()
    }

    /// Hands the root table back, with the roots in it, and becomes an allocator that owns nothing. For tests, which use
    /// the memory again.
    #[cfg(any(test, feature = "internals"))]
    pub fn detach(&mut self) -> Option<&'static mut RootTable> {
        let table = self.table.take();
        *self = Self::new();
        table
    }

    /// Whether root entry `root` has its memory.
    #[inline]
    pub fn has_root(&self, root: usize) -> bool {
        self.table.as_deref().is_some_and(|table| table.root(root).is_some())
    }

    /// Supplies zeroed memory for root entry `root`, before the first growth there.
    ///
    /// # Errors
    /// [`FaultKind::WrongTable`] without a table, or if the entry has its memory already or does not exist.
    pub fn add_root(&mut self, root: usize, memory: &'static mut Root) -> Result<(), Fault> {
        let added = self.table.as_deref_mut().is_some_and(|table| table.add_root(root, memory));
        if added { Ok(()) } else { Err(Fault::new(FaultKind::WrongTable, Page(root.saturating_mul(ROOT_PAGES)))) }
    }

    /// Adds whole chunks to the heap. They arrive free and released.
    ///
    /// # Errors
    /// If the run is not whole chunks, partly mapped already, or has no root.
    pub fn grow(&mut self, run: Run) -> Result<(), Fault> {
        let fault = |kind, page| Err(Fault::new(kind, page));
        check_run(run)?;
        if run.first.index_in_chunk() != 0 || run.pages % CHUNK_PAGES != 0 {
            return fault(FaultKind::NotWholeChunks, run.first);
        }
        let Some(table) = self.table.as_deref_mut() else {
            return fault(FaultKind::WrongTable, run.first);
        };
        let (first, end) = (run.first.chunk(), run.end().chunk());
        for root in first.root()..=Chunk(end.0 - 1).root() {
            if table.root(root).is_none() {
                return fault(FaultKind::NoRoot, Page(root * ROOT_PAGES).max(run.first));
            }
        }
        if let Some(mapped) = table.next_mapped_chunk(first).filter(|mapped| *mapped < end) {
            return fault(FaultKind::AlreadyMapped, mapped.first_page());
        }
        table.map(first, end.0 - first.0);
        self.end = self.end.max(end);
        self.mapped_pages += run.pages;
        self.scavenged_pages += run.pages;
        self.became_free(run);
        Ok(())
    }

    /// Takes the lowest run of `pages`; `None` if there is none, or if `pages` is zero.
    #[inline]
    pub fn alloc(&mut self, pages: usize) -> Option<Taken> {
        if pages == 0 {
            return None;
        }
        let from = self.search.start(pages)?;
        let table = self.table.as_deref_mut()?;
        let Some(first) = table.first_fit(from, pages, self.end) else {
            self.search.exhausted(pages);
            return None;
        };
        let run = Run { first, pages };
        let scavenged_pages = table.take(run);
        self.free_pages -= pages;
        self.scavenged_pages -= scavenged_pages;
        self.search.taken(run);
        self.keep_search_mapped(run.end());
        Some(Taken { run, scavenged_pages })
    }

    /// Takes the lowest run of `pages` that starts at or above `floor`, a mapped page; `None` if there is none.
    pub fn alloc_above(&mut self, floor: Page, pages: usize) -> Option<Taken> {
        if pages == 0 {
            return None;
        }
        let from = self.search.start(pages)?.max(floor);
        let first = self.table.as_deref_mut()?.first_fit(from, pages, self.end)?;
        self.take(Run { first, pages })
    }

    /// Takes the lowest run of `pages` whose first page is a multiple of `align`, a power of two. The pages around the run
    /// stay as they are. `None` if there is no such run, or for an argument that makes no sense.
    pub fn alloc_aligned(&mut self, pages: usize, align: usize) -> Option<Taken> {
        if align == 1 {
            return self.alloc(pages);
        }
        if pages == 0 || !align.is_power_of_two() {
            return None;
        }
        let from = self.search.start(pages)?;
        let first = self.table.as_deref_mut()?.first_aligned_fit(from, pages, align, self.end)?;
        self.take(Run { first, pages })
    }

    /// Takes this run if it is wholly free.
    pub fn alloc_exact(&mut self, run: Run) -> Option<Taken> {
        if check_run(run).is_err() || run.pages > self.free_pages || !self.table.as_deref()?.is_free(run) {
            return None;
        }
        self.take(run)
    }

    /// Frees a run that is in use. Its pages stay backed.
    ///
    /// # Errors
    /// If part of the run is free already or not the heap's.
    #[inline]
    pub fn free(&mut self, run: Run) -> Result<(), Fault> {
        self.give(run, false)
    }

    /// Frees a run whose memory has been given back to the OS, and marks the run as released in the same step.
    ///
    /// # Errors
    /// If part of the run is free already or not the heap's.
    pub fn free_scavenged(&mut self, run: Run) -> Result<(), Fault> {
        self.give(run, true)?;
        self.scavenged_pages += run.pages;
        Ok(())
    }

    /// Allocates the highest run of retained pages at or below page `from_index` of a chunk: the run to release next. From then
    /// on nobody else can take the run.
    ///
    /// The run consists of whole aligned groups of `min_pages` pages (a power of two up to 64: an OS page). If more than
    /// `max_pages` (rounded up to whole groups, at least one) are there, the run is their upper end. The run is longer only
    /// where its lower end would cut a huge page (`huge_page_pages`; 0 or 1 if there are none) that is retained as a whole.
    /// The caller releases the run, then gives it back with [`free_scavenged`](Self::free_scavenged).
    pub fn alloc_candidate(
        &mut self,
        chunk: Chunk,
        from_index: usize,
        min_pages: usize,
        max_pages: usize,
        huge_page_pages: usize,
    ) -> Candidate {
        let Some(table) = self.table.as_deref_mut() else {
            return Candidate::NONE;
        };
        let Some(bits) = table.bits(chunk) else {
            return Candidate::NONE;
        };
        let candidate = bits.candidate(chunk, from_index, min_pages, max_pages, huge_page_pages);
        if let Some(run) = candidate.run {
            table.take(run);
            self.free_pages -= run.pages;
        }
        candidate
    }

    /// Pages that are free: retained and released.
    #[inline]
    pub const fn free_pages(&self) -> usize {
        self.free_pages
    }

    /// Free pages that are released.
    #[inline]
    pub const fn scavenged_pages(&self) -> usize {
        self.scavenged_pages
    }

    /// All pages of the heap.
    #[inline]
    pub const fn mapped_pages(&self) -> usize {
        self.mapped_pages
    }

    /// The highest mapped chunk.
    #[inline]
    pub const fn high_chunk(&self) -> Option<Chunk> {
        match self.end.0 {
            0 => None,
            end => Some(Chunk(end - 1)),
        }
    }

    /// The mapped chunks as ranges, lowest first.
    pub fn mapped_ranges(&self) -> MappedRanges<'_> {
        MappedRanges::new(self.table.as_deref())
    }

    /// How many pages of a chunk are not free; 0 for a chunk that is not mapped.
    pub fn chunk_in_use(&self, chunk: Chunk) -> usize {
        self.bits(chunk).map_or(0, |bits| CHUNK_PAGES - bits.counts().0)
    }

    /// How many pages of a chunk are free but not released.
    pub fn chunk_retained(&self, chunk: Chunk) -> usize {
        self.bits(chunk).map_or(0, |bits| bits.counts().0 - bits.counts().1)
    }

    /// The aligned 64-page blocks of a chunk that are wholly free and released, one bit each from the lowest.
    pub fn released_blocks(&self, chunk: Chunk) -> u64 {
        self.bits(chunk).map_or(0, |bits| {
            bits.scavenged.iter().enumerate().fold(0, |blocks, (i, word)| blocks | (((*word == u64::MAX) as u64) << i))
        })
    }

    pub(super) fn bits(&self, chunk: Chunk) -> Option<&super::bits::ChunkBits> {
        self.table.as_deref()?.bits(chunk)
    }

    /// Takes a run that is known to be free, wherever it lies. The search addresses stay valid as they are.
    fn take(&mut self, run: Run) -> Option<Taken> {
        let scavenged_pages = self.table.as_deref_mut()?.take(run);
        self.free_pages -= run.pages;
        self.scavenged_pages -= scavenged_pages;
        Some(Taken { run, scavenged_pages })
    }

    #[inline]
    fn give(&mut self, run: Run, scavenged: bool) -> Result<(), Fault> {
        check_run(run)?;
        let Some(table) = self.table.as_deref_mut() else {
            return Err(Fault::new(FaultKind::NotMapped, run.first));
        };
        table.check_in_use(run)?;
        table.give(run, scavenged);
        self.became_free(run);
        Ok(())
    }

    #[inline]
    fn became_free(&mut self, run: Run) {
        self.free_pages += run.pages;
        self.lower_search_addresses(run);
    }

    #[inline]
    pub(super) fn lower_search_addresses(&mut self, run: Run) {
        let first = run.first;
        // A search address goes down by less than the longest size beyond the run, so at most into the chunk below.
        let floor = if first.index_in_chunk() < LONGEST && !self.is_mapped_below(first) {
            first.chunk().first_page()
        } else {
            Page(0)
        };
        self.search.freed(run, floor);
    }

    fn is_mapped_below(&self, page: Page) -> bool {
        page.chunk().0 != 0 && self.table.as_deref().is_some_and(|table| table.is_mapped(Chunk(page.chunk().0 - 1)))
    }

    /// Some search addresses have moved to `end`, which may be the first page above a mapped range.
    #[inline]
    pub(super) fn keep_search_mapped(&mut self, end: Page) {
        if end.index_in_chunk() != 0 {
            return;
        }
        let Some(table) = self.table.as_deref() else { return };
        if !table.is_mapped(end.chunk()) {
            self.search.keep_mapped(|page| table.mapped_at_or_above(page));
        }
    }
}

impl Default for PageAllocator {
    fn default() -> Self {
        Self::new()
    }
}

/// Refuses runs that are empty or reach past the address space.
#[inline]
pub(super) fn check_run(run: Run) -> Result<(), Fault> {
    const END: usize = ROOTS * ROOT_PAGES;
    if run.pages == 0 || run.pages > END || run.first.0 > END - run.pages {
        return Err(Fault::new(FaultKind::BadRun, run.first));
    }
    Ok(())
}
