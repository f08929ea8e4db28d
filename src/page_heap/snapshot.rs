//! The page heaps' part of a snapshot.
//!
//! Locks: page cache, heap and scavenge, one at a time.

use crate::accounts::stats::Stats;
use crate::lock::Lock;
use crate::pages::PageCache;
use crate::span::RECORD_BYTES;
use crate::units::{CHUNK_PAGES, Chunk, PAGE_BYTES};

use super::PageHeaps;
use super::single::PageHeap;

/// Pages whose records lie on one OS page of 4 KiB; their records are released together.
const RECORD_BLOCK_PAGES: usize = 64;
/// Bytes of a block's records and tags.
const BLOCK_BYTES: usize = RECORD_BLOCK_PAGES * (RECORD_BYTES + 2);
/// Bytes of a chunk in bitmaps, summaries, marks and, in builds that serve C, the table for frees: at most.
const CHUNK_TABLE_BYTES: usize = 256 + if cfg!(serves_c) { CHUNK_PAGES } else { 0 };
/// Bytes of the tables' beginnings, of which each process touches an OS page or two: at most.
const FIRST_TABLE_BYTES: usize = 256 << 10;
/// Chunks that are looked at in one critical section.
const CHUNKS_AT_ONCE: usize = 64;

impl PageHeaps {
    /// Writes this floor's part of a snapshot, and the part of the accounts.
    pub fn fill(&self, stats: &mut Stats) {
        let (mut mapped, mut free, mut scavenged, mut in_flight, mut reserved, mut cached) = (0, 0, 0, 0, 0, 0);
        let mut tables = FIRST_TABLE_BYTES;
        for page_heap in self.page_heaps_in_use() {
            tables += table_bytes(page_heap);
            let page_heap = page_heap.lock();
            mapped += page_heap.mapped_pages();
            free += page_heap.allocator.free_pages();
            scavenged += page_heap.allocator.scavenged_pages();
            in_flight += page_heap.in_flight_pages;
            reserved += page_heap.arena.reserved_bytes();
        }
        for shard_cache in &self.page_caches {
            cached += shard_cache.lock().current.as_ref().map_or(0, PageCache::free_pages);
        }
        let bytes = |pages: usize| (pages * PAGE_BYTES) as u64;
        stats.reserved_bytes = reserved as u64;
        stats.mapped_bytes = bytes(mapped);
        stats.retained_bytes = bytes(free - scavenged);
        stats.released_bytes = bytes(scavenged);
        stats.in_flight_bytes = bytes(in_flight);
        stats.cached_bytes = bytes(cached);
        stats.metadata_bytes = tables as u64;
        stats.scavenges_total = self.scavenge_state.lock().generation();
        self.accounts.counters.fill(stats);
        // Each page is fresh once.
        stats.refaulted_bytes_total = stats.faulted_bytes_total.saturating_sub(stats.mapped_bytes);
    }
}

/// The tables of a page heap's chunks that are backed, at most. Blocks of pages that are all free and released have no
/// records: the records were released, or never written. A critical section looks at few chunks,
/// because a heap may have very many.
fn table_bytes(page_heap: &Lock<PageHeap>) -> usize {
    let mut next = Chunk(0);
    let mut bytes = 0;
    loop {
        let page_heap = page_heap.lock();
        let ranges = page_heap.allocator.mapped_ranges();
        let Some(range) = ranges.into_iter().find(|range| range.first.0 + range.chunks > next.0) else { return bytes };
        let first = range.first.0.max(next.0);
        next = Chunk((range.first.0 + range.chunks).min(first + CHUNKS_AT_ONCE));
        for chunk in (first..next.0).map(Chunk) {
            let blocks =
                CHUNK_PAGES / RECORD_BLOCK_PAGES - page_heap.allocator.released_blocks(chunk).count_ones() as usize;
            bytes += CHUNK_TABLE_BYTES + blocks * BLOCK_BYTES;
        }
    }
}
