//! Everything below one root entry: four levels of summaries, and the bitmaps of its chunks.
//!
//! All-zero memory is a valid root with nothing mapped. A root is written only where chunks are mapped, so in a zeroed
//! mapping it costs only the pages that are touched. Each level is an array of sibling groups. A group fills one cache
//! line, and the lengths are powers of two: the compiler knows that a chunk's number, shifted and masked, is in bounds.
//!
//! Two ways lead from a changed leaf to the nodes above it. `propagate` updates one child of each ancestor and stops at the
//! first ancestor that does not change. `propagate_range` recomputes the ancestors of many leaves level by level.
//!
//! Invariants:
//! 1. A node is the merge of its group of children, except above the chunk whose change is pending (see `table`). A leaf is
//!    its bitmap's summary. The leaf of an unmapped chunk is zero.
//! 2. The summary of the root itself lives in the `RootTable`: a search that passes a root reads nothing of the root.
//!
//! Locks: none; the caller holds the heap lock.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, CHUNK_PAGES_SHIFT, LEVEL_BITS, ROOT_CHUNKS, ROOT_PAGES_SHIFT};

use super::bits::ChunkBits;
use super::summary::{FANOUT, Group, Summary};

/// Pages under a node of level 1, 2 and 3.
pub(super) const LEVEL1_PAGES: usize = CHUNK_PAGES << (3 * LEVEL_BITS);
pub(super) const LEVEL2_PAGES: usize = CHUNK_PAGES << (2 * LEVEL_BITS);
pub(super) const LEVEL3_PAGES: usize = CHUNK_PAGES << LEVEL_BITS;

/// Masks the number of a page to its place under its root entry.
pub(super) const PAGE_IN_ROOT: usize = (1 << ROOT_PAGES_SHIFT) - 1;

const CHUNK: usize = ROOT_CHUNKS - 1;
const PAGE_IN_CHUNK: usize = CHUNK_PAGES - 1;
const CHILD: usize = FANOUT - 1;
/// Masks the number of a node of level 3.
const LEVEL3: usize = FANOUT * FANOUT * FANOUT - 1;
const MAPPED_WORDS: usize = ROOT_CHUNKS.div_ceil(64);
const EMPTY: Group = [Summary::FULL; FANOUT];

/// The summaries of levels 1 to 4 and the bitmaps of the chunks under one root entry. Valid and empty when zeroed, and
/// touched only where chunks are mapped.
#[repr(C, align(64))]
pub struct Root {
    pub(super) level1: Group,
    pub(super) level2: [Group; FANOUT],
    pub(super) level3: [Group; FANOUT * FANOUT],
    /// One summary for each chunk.
    pub(super) leaves: [Group; FANOUT * FANOUT * FANOUT],
    /// One bit for each chunk.
    mapped: [u64; MAPPED_WORDS],
    bits: [ChunkBits; ROOT_CHUNKS],
}

impl Root {
    /// A root with nothing mapped, equal to zeroed memory. Large: meant for zeroed mappings, statics and tests.
    pub const fn new() -> Self {
        Self {
            level1: EMPTY,
            level2: [EMPTY; FANOUT],
            level3: [EMPTY; FANOUT * FANOUT],
            leaves: [EMPTY; FANOUT * FANOUT * FANOUT],
            mapped: [0; MAPPED_WORDS],
            bits: [ChunkBits::FULL; ROOT_CHUNKS],
        }
    }

    /// The bitmaps of a chunk, by its place under this root.
    #[inline]
    pub(super) fn bits(&self, chunk: usize) -> &ChunkBits {
        &self.bits[chunk & CHUNK]
    }

    /// The summary of a chunk.
    #[inline]
    pub(super) fn leaf(&self, chunk: usize) -> Summary {
        self.leaves[(chunk & CHUNK) >> LEVEL_BITS][chunk & CHILD]
    }

    #[inline]
    pub(super) fn is_mapped(&self, chunk: usize) -> bool {
        let chunk = chunk & CHUNK;
        self.mapped[chunk / 64] >> (chunk % 64) & 1 != 0
    }

    /// The lowest mapped (or unmapped) chunk not below `from`, by place under this root.
    pub(super) fn next_chunk(&self, from: usize, mapped: bool) -> Option<usize> {
        let flip = if mapped { 0 } else { u64::MAX };
        let mut keep = u64::MAX << (from % 64);
        for word in from / 64..MAPPED_WORDS {
            let found = (self.mapped[word] ^ flip) & keep;
            keep = u64::MAX;
            if found != 0 {
                let chunk = word * 64 + found.trailing_zeros() as usize;
                return if chunk < ROOT_CHUNKS { Some(chunk) } else { None };
            }
        }
        None
    }

    /// Maps chunks `low..=high`, free and released. `summary` is the root's own.
    pub(super) fn map(&mut self, summary: &mut Summary, low: usize, high: usize) {
        for chunk in low..=high {
            let chunk = chunk & CHUNK;
            debug_assert!(!self.is_mapped(chunk));
            self.mapped[chunk / 64] |= 1 << (chunk % 64);
            self.bits[chunk].set_fresh();
            self.leaves[chunk >> LEVEL_BITS][chunk & CHILD] = Summary::free(CHUNK_PAGES);
        }
        self.propagate_range(summary, low, high, true);
    }

    /// Applies `edit` to one chunk's bitmaps and updates the chunk's summary, but not the nodes above.
    #[inline]
    pub(super) fn edit<R>(&mut self, chunk: usize, edit: impl FnOnce(&mut ChunkBits) -> R) -> R {
        let chunk = chunk & CHUNK;
        let bits = &mut self.bits[chunk];
        let result = edit(bits);
        self.leaves[chunk >> LEVEL_BITS][chunk & CHILD] = bits.summary();
        result
    }

    /// Applies `edit` to pages `from..from + pages` of one chunk and updates the chunk's summary, but not the nodes above.
    /// The edit frees every one of these pages (`freed`), or takes every one.
    #[inline]
    pub(super) fn edit_part(
        &mut self,
        chunk: usize,
        (from, pages): (usize, usize),
        freed: bool,
        edit: impl FnOnce(&mut ChunkBits, usize, usize),
    ) {
        let chunk = chunk & CHUNK;
        let bits = &mut self.bits[chunk];
        edit(bits, from, pages);
        let leaf = &mut self.leaves[chunk >> LEVEL_BITS][chunk & CHILD];
        *leaf = bits.summary_after(*leaf, from, pages, freed);
    }

    /// Applies `edit(bits, first page in chunk, pages)` to each chunk that `pages` pages from `first` (a place under this
    /// root) touch, and updates the nodes above. The edit frees every one of these pages (`freed`), or takes every one.
    /// `summary` is the root's own.
    #[inline]
    pub(super) fn edit_run(
        &mut self,
        summary: &mut Summary,
        first: usize,
        pages: usize,
        freed: bool,
        mut edit: impl FnMut(&mut ChunkBits, usize, usize),
    ) {
        let low = (first >> CHUNK_PAGES_SHIFT) & CHUNK;
        let high = ((first + pages - 1) >> CHUNK_PAGES_SHIFT) & CHUNK;
        let whole = if freed { Summary::free(CHUNK_PAGES) } else { Summary::FULL };
        let mut changed = false;
        for chunk in low..=high {
            let from = if chunk == low { first & PAGE_IN_CHUNK } else { 0 };
            let to = if chunk == high { ((first + pages - 1) & PAGE_IN_CHUNK) + 1 } else { CHUNK_PAGES };
            let bits = &mut self.bits[chunk & CHUNK];
            edit(bits, from, to - from);
            let leaf = &mut self.leaves[(chunk & CHUNK) >> LEVEL_BITS][chunk & CHILD];
            let new = if to - from == CHUNK_PAGES { whole } else { bits.summary_after(*leaf, from, to - from, freed) };
            changed |= *leaf != new;
            *leaf = new;
        }
        if changed {
            self.propagate_range(summary, low, high, freed);
        }
    }

    /// Updates the nodes above a chunk, which go by the chunk's summary `old`, and stops at the first node that does not
    /// change. Returns the summary that the nodes go by now. `summary` is the root's own.
    #[inline]
    pub(super) fn propagate(&mut self, summary: &mut Summary, chunk: usize, old: Summary) -> Summary {
        let new = self.leaf(chunk);
        if new != old {
            self.propagate_changed(summary, chunk & CHUNK, old);
        }
        new
    }

    fn propagate_changed(&mut self, summary: &mut Summary, chunk: usize, old: Summary) {
        let (group, child) = (chunk >> LEVEL_BITS, chunk & CHILD);
        let node = &mut self.level3[group >> LEVEL_BITS][group & CHILD];
        if let Some(old) = update(node, &self.leaves[group], child, old, CHUNK_PAGES) {
            self.propagate_from_level3(summary, group, old);
        }
    }

    /// Updates the nodes above node `node` of level 3, which was `old`.
    fn propagate_from_level3(&mut self, summary: &mut Summary, node: usize, old: Summary) {
        let node = node & LEVEL3;
        let (group, child) = (node >> LEVEL_BITS, node & CHILD);
        let node = &mut self.level2[group >> LEVEL_BITS][group & CHILD];
        let Some(old) = update(node, &self.level3[group], child, old, LEVEL3_PAGES) else { return };
        let (group, child) = (group >> LEVEL_BITS, group & CHILD);
        let node = &mut self.level1[group];
        let Some(old) = update(node, &self.level2[group], child, old, LEVEL2_PAGES) else { return };
        *summary = summary.merge_one(&self.level1, group, old, LEVEL1_PAGES);
    }

    /// Updates the nodes above the leaves `low..=high`, level by level, and stops at the first level where nothing changes.
    /// Nodes strictly between the ancestors of the two outer leaves are wholly free (`freed`) or wholly in use. Where all the
    /// leaves have one parent, only the parent is merged anew, since one child of each node above has changed.
    fn propagate_range(&mut self, summary: &mut Summary, low: usize, high: usize, freed: bool) {
        let (low, high) = (low >> LEVEL_BITS, high >> LEVEL_BITS);
        if low == high {
            let low = low & LEVEL3;
            let node = &mut self.level3[low >> LEVEL_BITS][low & CHILD];
            let new = Summary::merge(&self.leaves[low], CHUNK_PAGES);
            let old = core::mem::replace(node, new);
            if old != new {
                self.propagate_from_level3(summary, low, old);
            }
            return;
        }
        if !merge_parents(&mut self.level3, &self.leaves, low, high, CHUNK_PAGES, freed) {
            return;
        }
        let (low, high) = (low >> LEVEL_BITS, high >> LEVEL_BITS);
        if !merge_parents(&mut self.level2, &self.level3, low, high, LEVEL3_PAGES, freed) {
            return;
        }
        let (low, high) = (low >> LEVEL_BITS, high >> LEVEL_BITS);
        if merge_parents(core::array::from_mut(&mut self.level1), &self.level2, low, high, LEVEL2_PAGES, freed) {
            *summary = Summary::merge(&self.level1, LEVEL1_PAGES);
        }
    }

    /// Makes the root empty again. Touches only what is in use.
    #[cfg(any(test, feature = "internals"))]
    pub(super) fn clear(&mut self) {
        let mut summary = self.summary();
        while let Some(chunk) = self.next_chunk(0, true) {
            self.mapped[chunk / 64] &= !(1 << (chunk % 64));
            let old = self.leaf(chunk);
            self.edit(chunk, |bits| *bits = ChunkBits::FULL);
            self.propagate(&mut summary, chunk, old);
        }
    }

    /// The root's own summary, recomputed.
    #[cfg(any(test, feature = "internals"))]
    pub(super) fn summary(&self) -> Summary {
        Summary::merge(&self.level1, LEVEL1_PAGES)
    }
}

impl Default for Root {
    fn default() -> Self {
        Self::new()
    }
}

/// Updates a node after its child number `child`, which was `old`, has changed. Returns the node's former summary if the
/// node has changed as well.
#[inline]
fn update(node: &mut Summary, children: &Group, child: usize, old: Summary, child_pages: usize) -> Option<Summary> {
    let new = node.merge_one(children, child, old, child_pages);
    let before = core::mem::replace(node, new);
    if before == new { None } else { Some(before) }
}

/// Recomputes parents `low..=high`; parent `i` stands above group `i` of the children. Returns whether any has changed.
#[inline]
fn merge_parents<const PARENTS: usize, const CHILDREN: usize>(
    parents: &mut [Group; PARENTS],
    children: &[Group; CHILDREN],
    low: usize,
    high: usize,
    child_pages: usize,
    freed: bool,
) -> bool {
    const { assert!(PARENTS.is_power_of_two() && CHILDREN == PARENTS * FANOUT) };
    let mut changed = false;
    for parent in low..=high {
        let parent = parent & (CHILDREN - 1);
        let summary = if parent == low || parent == high {
            Summary::merge(&children[parent], child_pages)
        } else if freed {
            Summary::free(child_pages * FANOUT)
        } else {
            Summary::FULL
        };
        let slot = &mut parents[parent >> LEVEL_BITS][parent & CHILD];
        changed |= *slot != summary;
        *slot = summary;
    }
    changed
}
