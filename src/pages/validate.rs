//! The whole state recomputed from the bitmaps, bit by bit, and compared with the state that is kept. Test builds only.
//!
//! Locks: none; the caller holds the heap lock. Changes nothing.
#![forbid(unsafe_code)]

use core::fmt;

use crate::units::{CHUNK_PAGES, Chunk, Page, ROOT_CHUNKS, ROOTS};

use super::allocator::PageAllocator;
use super::bits::ChunkBits;
use super::root::{LEVEL2_PAGES, LEVEL3_PAGES, Root};
use super::search_addresses::SIZES;
use super::summary::{FANOUT, Group, Summary};

/// Where the kept state and the recomputed one differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disagreement {
    /// Which part of the state.
    pub what: &'static str,
    /// The first page of that part.
    pub page: Page,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at page {:#x}", self.what, self.page.0)
    }
}

fn check(agrees: bool, what: &'static str, page: Page) -> Result<(), Disagreement> {
    if agrees { Ok(()) } else { Err(Disagreement { what, page }) }
}

/// Walks over the free runs of the whole heap page by page.
struct Runs {
    start: usize,
    end: usize,
    /// The start of the lowest run of at least each size.
    lowest: [Option<usize>; SIZES.len()],
}

impl Runs {
    fn free_page(&mut self, page: usize) {
        if self.end != page {
            self.start = page;
        }
        self.end = page + 1;
        for (lowest, size) in self.lowest.iter_mut().zip(SIZES) {
            if lowest.is_none() && self.end - self.start >= size {
                *lowest = Some(self.start);
            }
        }
    }
}

/// A bitmap's summary, bit by bit.
pub(super) fn slow_summary(bits: &ChunkBits) -> Summary {
    let free = |page: usize| bits.free[page / 64] >> (page % 64) & 1 != 0;
    let start = (0..CHUNK_PAGES).take_while(|&page| free(page)).count();
    let end = (0..CHUNK_PAGES).rev().take_while(|&page| free(page)).count();
    let (mut run, mut max) = (0, 0);
    for page in 0..CHUNK_PAGES {
        run = if free(page) { run + 1 } else { 0 };
        max = max.max(run);
    }
    Summary::new(start, max, end)
}

/// The summary above a group, computed without the shortcuts of `Summary::merge`.
pub(super) fn slow_merge(children: &Group, child_pages: usize) -> Summary {
    let all = FANOUT * child_pages;
    let start = children.iter().position(|child| child.fields().0 < child_pages);
    let start = start.map_or(all, |child| child * child_pages + children[child].fields().0);
    let end = children.iter().rev().position(|child| child.fields().2 < child_pages);
    let end = end.map_or(all, |child| child * child_pages + children[FANOUT - 1 - child].fields().2);
    let mut max = 0;
    for first in 0..FANOUT {
        max = max.max(children[first].fields().1);
        let mut run = children[first].fields().2;
        for child in &children[first + 1..] {
            run += child.fields().0;
            max = max.max(run);
            if child.fields().0 < child_pages {
                break;
            }
        }
    }
    Summary::new(start, max, end)
}

impl PageAllocator {
    /// The free and scavenged bits of 64 pages of a mapped chunk.
    pub fn bitmap_words(&self, chunk: Chunk, word: usize) -> Option<(u64, u64)> {
        let bits = self.bits(chunk)?;
        Some((*bits.free.get(word)?, *bits.scavenged.get(word)?))
    }

    /// Whether a chunk is mapped, and every page of it free and released.
    pub fn chunk_is_all_free_and_scavenged(&self, chunk: Chunk) -> bool {
        self.bits(chunk).is_some_and(|bits| bits.counts() == (CHUNK_PAGES, CHUNK_PAGES))
    }

    /// Recomputes everything from the bitmaps and compares.
    ///
    /// # Errors
    /// The first difference found.
    pub fn validate(&self) -> Result<(), Disagreement> {
        let Some(table) = self.table.as_deref() else {
            return check(self.mapped_pages == 0 && self.end == Chunk(0), "no table but pages", Page(0));
        };
        let (mut free, mut scavenged, mut mapped, mut end) = (0, 0, 0, 0);
        let mut runs = Runs { start: 0, end: usize::MAX, lowest: [None; SIZES.len()] };
        for root in 0..ROOTS {
            let page = Page(Chunk(root * ROOT_CHUNKS).first_page().0);
            let Some(memory) = table.root(root) else {
                check(table.summaries[root] == Summary::FULL, "summary without a root", page)?;
                continue;
            };
            for index in 0..ROOT_CHUNKS {
                let chunk = Chunk(root * ROOT_CHUNKS + index);
                let page = chunk.first_page();
                if !memory.is_mapped(index) {
                    check(memory.leaf(index) == Summary::FULL, "summary of an unmapped chunk", page)?;
                    continue;
                }
                let bits = memory.bits(index);
                check(memory.leaf(index) == slow_summary(bits), "chunk summary", page)?;
                for index in 0..CHUNK_PAGES {
                    let bit = |words: &[u64]| words[index / 64] >> (index % 64) & 1 != 0;
                    if bit(&bits.free) {
                        free += 1;
                        runs.free_page(page.0 + index);
                    }
                    if bit(&bits.scavenged) {
                        scavenged += 1;
                        check(bit(&bits.free), "scavenged but not free", page.plus(index))?;
                    }
                }
                mapped += CHUNK_PAGES;
                end = chunk.0 + 1;
            }
            let pending = table.pending;
            let propagated = (pending.root() == root).then_some((pending.index_in_root(), table.propagated));
            check_levels(memory, propagated, page)?;
            check(table.summaries[root] == memory.summary(), "root summary", page)?;
            let any = memory.next_chunk(0, true).is_some();
            check((table.next_mapped_root(root) == Some(root)) == any, "bitmap of mapped roots", page)?;
        }
        check(self.free_pages == free, "count of free pages", Page(self.free_pages))?;
        check(self.scavenged_pages == scavenged, "count of scavenged pages", Page(self.scavenged_pages))?;
        check(self.mapped_pages == mapped, "count of mapped pages", Page(self.mapped_pages))?;
        check(self.end == Chunk(end), "end of the mapped chunks", self.end.first_page())?;
        for (address, lowest) in self.search.addresses().into_iter().zip(runs.lowest) {
            if let Some(address) = address {
                check(table.is_mapped(address.chunk()), "search address outside mapped memory", address)?;
            }
            if let Some(lowest) = lowest {
                check(
                    address.is_some_and(|address| address.0 <= lowest),
                    "search address above a free run",
                    Page(lowest),
                )?;
            }
        }
        Ok(())
    }
}

/// `propagated`: the chunk whose change may be pending, and the summary of it that the nodes above go by.
fn check_levels(root: &Root, propagated: Option<(usize, Summary)>, page: Page) -> Result<(), Disagreement> {
    let as_propagated = |i: usize, group: &Group| {
        let mut group = *group;
        if let Some((chunk, propagated)) = propagated.filter(|(chunk, _)| chunk / FANOUT == i) {
            group[chunk % FANOUT] = propagated;
        }
        group
    };
    let same_above = |parents: &[Group], i: usize, group: &Group, child_pages: usize| {
        let kept = parents[i / FANOUT][i % FANOUT];
        kept == if *group == [Summary::FULL; FANOUT] { Summary::FULL } else { slow_merge(group, child_pages) }
    };
    let same = |parents: &[Group], children: &[Group], child_pages: usize| {
        children.iter().enumerate().all(|(i, group)| same_above(parents, i, group, child_pages))
    };
    let level3 = root
        .leaves
        .iter()
        .enumerate()
        .all(|(i, group)| same_above(&root.level3, i, &as_propagated(i, group), CHUNK_PAGES));
    check(level3, "level 3", page)?;
    check(same(&root.level2, &root.level3, LEVEL3_PAGES), "level 2", page)?;
    check(same(core::slice::from_ref(&root.level1), &root.level2, LEVEL2_PAGES), "level 1", page)
}
