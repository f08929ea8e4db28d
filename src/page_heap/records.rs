//! Giving back the memory of span records, for pages that are all free and released.
//!
//! Locks: heap, twice, one at a time; none during the release.

use crate::span::RECORD_BYTES;
use crate::sys;
use crate::units::{CHUNK_PAGES, Chunk, Run};

use super::PageHeaps;
use super::arena::pointer;
use super::huge_map::HUGE_PAGES_PER_CHUNK;
use super::single::or_abort;

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

impl PageHeaps {
    /// Gives back the memory of span records: those of aligned blocks of 64 pages that these runs of a chunk touched
    /// and that are wholly free and released. By the same protocol: a block is taken while that happens, so that nobody
    /// can make a span in it. A huge page that was split and is all such blocks now may be a huge page again.
    pub(super) fn release_records(&self, chunk: Chunk, runs: &[Run]) {
        let record_bytes = RECORD_PAGES * RECORD_BYTES;
        if record_bytes % self.accounts.os_page_bytes() != 0 {
            return;
        }
        let touched = runs.iter().fold(0u64, |blocks, run| {
            let (first, last) = (run.first.index_in_chunk(), run.end().0 - 1 - chunk.first_page().0);
            blocks | ((u64::MAX >> (63 - last / RECORD_PAGES)) & (u64::MAX << (first / RECORD_PAGES)))
        });
        let (mut taken, mut again) = (0, 0);
        {
            let mut page_heap = self.page_heap_of(chunk).lock();
            let released = page_heap.allocator.released_blocks(chunk);
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
                if page_heap.allocator.alloc_exact(record_block(chunk, block)).is_some() {
                    page_heap.begin_flight(RECORD_PAGES);
                    taken |= 1u64 << block;
                }
            }
        }
        let mut rest = taken;
        while rest != 0 {
            let first = rest.trailing_zeros() as usize;
            let count = (rest >> first).trailing_ones() as usize;
            rest &= !((u64::MAX >> (64 - count)) << first);
            if let Some(base) = self.span_map.record_address(record_block(chunk, first).first) {
                // SAFETY: every page of the blocks is held, so no record of them is live or can become so; released
                // records read as zero, which is dead. A refusal leaves them as they are, dead as well.
                let _ = unsafe { sys::vm::release_metadata(pointer(base), count * record_bytes) };
            }
        }
        for part in 0..HUGE_PAGES_PER_CHUNK {
            if taken & again & huge_page_blocks(part) == huge_page_blocks(part) {
                self.huge_page_again(chunk, part);
            }
        }
        if taken != 0 {
            let mut page_heap = self.page_heap_of(chunk).lock();
            for block in (0..CHUNK_PAGES / RECORD_PAGES).filter(|block| taken >> block & 1 == 1) {
                or_abort(page_heap.allocator.free_scavenged(record_block(chunk, block)));
                page_heap.in_flight_pages -= RECORD_PAGES;
            }
        }
    }
}
