//! Releases the memory of span records that belong to free and released pages.
//!
//! The protocol is the protocol of pages: a block of pages is marked allocated while its records are released, so nobody
//! can make a span in the block.
//!
//! Locks: heap, twice in turn; none during the release.

use crate::span::RECORD_BYTES;
use crate::sys;
use crate::units::{CHUNK_PAGES, Chunk, Run};

use super::PageHeaps;
use super::arena::pointer;
use super::huge_map::HUGE_PAGES_PER_CHUNK;
use super::single::or_abort;

/// Pages in a block. The records of a block are released together: they fill 4 KiB.
const RECORD_PAGES: usize = 64;

/// The blocks in one of a chunk's huge pages, one bit each.
fn huge_page_blocks(part: usize) -> u64 {
    let blocks = CHUNK_PAGES / RECORD_PAGES / HUGE_PAGES_PER_CHUNK;
    ((1 << blocks) - 1) << (part * blocks)
}

fn record_block(chunk: Chunk, block: usize) -> Run {
    Run { first: chunk.first_page().plus(block * RECORD_PAGES), pages: RECORD_PAGES }
}

impl PageHeaps {
    /// Releases the span records of the blocks of `chunk` that `runs` touch, if all pages of a block are free and released.
    /// A split huge page all of whose pages are free and released may become a huge page again.
    pub(super) fn release_records(&self, chunk: Chunk, runs: &[Run]) {
        let record_bytes = RECORD_PAGES * RECORD_BYTES;
        if record_bytes % self.accounts.os_page_bytes() != 0 {
            return;
        }
        let touched = runs.iter().fold(0u64, |blocks, run| {
            let (first, last) = (run.first.index_in_chunk(), run.end().0 - 1 - chunk.first_page().0);
            blocks | ((u64::MAX >> (63 - last / RECORD_PAGES)) & (u64::MAX << (first / RECORD_PAGES)))
        });
        let (mut taken, mut whole_again) = (0, 0);
        {
            let mut page_heap = self.page_heap_of(chunk).lock();
            let released = page_heap.allocator.released_blocks(chunk);
            let mut blocks = released & touched;
            for part in 0..HUGE_PAGES_PER_CHUNK {
                let whole = huge_page_blocks(part);
                if touched & whole != 0 && released & whole == whole && self.is_split(chunk, part) {
                    blocks |= whole;
                    whole_again |= whole;
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
                // SAFETY: this thread has marked all pages of the blocks allocated, so no record of them is live or can
                // become live. Released records read as zero, which means dead. If the kernel refuses, the records stay,
                // dead too.
                let _ = unsafe { sys::vm::release_metadata(pointer(base), count * record_bytes) };
            }
        }
        for part in 0..HUGE_PAGES_PER_CHUNK {
            if taken & whole_again & huge_page_blocks(part) == huge_page_blocks(part) {
                self.let_be_huge_again(chunk, part);
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
