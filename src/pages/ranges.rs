//! Which chunks are mapped, as ranges.
//!
//! The ranges are read from the roots' bitmaps of mapped chunks, so neighbouring growths coalesce by themselves.
//!
//! Locks: none; the caller holds the heap lock.
#![forbid(unsafe_code)]

use crate::units::{Chunk, ROOT_CHUNKS};

use super::table::RootTable;

/// Adjacent mapped chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkRange {
    /// The lowest chunk.
    pub first: Chunk,
    /// How many chunks.
    pub chunks: usize,
}

/// The mapped ranges, lowest first.
pub struct MappedRanges<'a> {
    table: Option<&'a RootTable>,
    next: Chunk,
}

impl<'a> MappedRanges<'a> {
    pub(super) fn new(table: Option<&'a RootTable>) -> Self {
        Self { table, next: Chunk(0) }
    }
}

impl Iterator for MappedRanges<'_> {
    type Item = ChunkRange;

    fn next(&mut self) -> Option<ChunkRange> {
        let table = self.table?;
        let first = table.next_mapped_chunk(self.next)?;
        self.next = table.next_unmapped_chunk(first);
        Some(ChunkRange { first, chunks: self.next.0 - first.0 })
    }
}

impl RootTable {
    /// The lowest mapped chunk not below `chunk`.
    pub(super) fn next_mapped_chunk(&self, chunk: Chunk) -> Option<Chunk> {
        let mut from = chunk;
        loop {
            let root = self.next_mapped_root(from.root())?;
            if root != from.root() {
                from = Chunk(root * ROOT_CHUNKS);
            }
            if let Some(found) = self.root(root)?.next_chunk(from.index_in_root(), true) {
                return Some(Chunk(root * ROOT_CHUNKS + found));
            }
            from = Chunk((root + 1) * ROOT_CHUNKS);
        }
    }

    /// The lowest chunk not below `chunk` that is not mapped.
    pub(super) fn next_unmapped_chunk(&self, chunk: Chunk) -> Chunk {
        let mut from = chunk;
        while let Some(root) = self.root(from.root()) {
            if let Some(found) = root.next_chunk(from.index_in_root(), false) {
                return Chunk(from.root() * ROOT_CHUNKS + found);
            }
            from = Chunk((from.root() + 1) * ROOT_CHUNKS);
        }
        from
    }
}
