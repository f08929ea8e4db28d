//! The depot: a size class's full and empty magazines, shared by the threads of a shard.
//!
//! Trading an empty magazine for a full one is O(1) for dozens of slots, so one thread's frees feed another thread's
//! allocations without touching a span (Bonwick and Adams 2001). What stayed unused over a tick of the scavenger goes
//! back to the spans: that is the working-set rule of the same paper.
//!
//! Locks: each depot, one a class and shard, has its own (rank depot), held for a few loads and stores; nothing is taken under it.

use crate::size_class::info;

use super::magazine::MagazineRef;

/// The most bytes of slots a class's depot holds, and the most full magazines where those are more. Magazines come back in
/// the order of the frees, while spans hand out neighbours: with a depot for a whole burst (1 MiB) small objects that are
/// made together lay scattered, and a compiler's load took 1.15 times the time. What is passed between threads needs a few.
const MAX_BYTES: usize = 32 << 10;
const MAX_FULL: usize = 8;
/// What all depots of a shard may hold however small the heap is, and which part of the pages in use those of all shards may
/// hold together. Without this bound random replacement over all classes kept a sixth of its live memory in depots.
pub const LEAST_TOTAL_BYTES: usize = 1 << 20;
const MAX_TOTAL_PART: usize = 16;
/// Empty magazines kept for the next exchange; more go back to the store.
const MAX_EMPTY: u32 = 16;

/// A class's depot.
pub struct Depot {
    full: Option<MagazineRef>,
    full_count: u32,
    /// The fewest full magazines since the last trim: nobody needed them.
    full_low: u32,
    empty: Option<MagazineRef>,
    empty_count: u32,
}

// SAFETY: a depot owns its magazines; the links are the magazines' own words.
unsafe impl Send for Depot {}

/// The most full magazines in a class's depot.
pub fn capacity(class: usize) -> u32 {
    (MAX_BYTES / magazine_bytes(class)).max(MAX_FULL) as u32
}

/// Bytes of slots in a full magazine.
pub fn magazine_bytes(class: usize) -> usize {
    let info = info(class);
    (info.magazine_slots * info.slot_bytes) as usize
}

/// The most bytes in all depots of a shard together, where so many are in use. One alone gets no more than one of two.
pub fn total_capacity(in_use_bytes: usize, shards: usize) -> usize {
    LEAST_TOTAL_BYTES.max(in_use_bytes / (MAX_TOTAL_PART * shards.max(2)))
}

impl Depot {
    /// An empty depot.
    pub const fn new() -> Self {
        Self { full: None, full_count: 0, full_low: 0, empty: None, empty_count: 0 }
    }

    /// Full magazines held.
    pub fn full_count(&self) -> u32 {
        self.full_count
    }

    /// Takes a full magazine.
    pub fn pop_full(&mut self) -> Option<MagazineRef> {
        let magazine = self.full?;
        self.full = magazine.link();
        self.full_count -= 1;
        self.full_low = self.full_low.min(self.full_count);
        Some(magazine)
    }

    /// Gives a full magazine; `false` if the depot holds its share already.
    pub fn push_full(&mut self, magazine: MagazineRef, capacity: u32) -> bool {
        if self.full_count >= capacity {
            return false;
        }
        magazine.set_link(self.full);
        self.full = Some(magazine);
        self.full_count += 1;
        true
    }

    /// Takes an empty magazine.
    pub fn pop_empty(&mut self) -> Option<MagazineRef> {
        let magazine = self.empty?;
        self.empty = magazine.link();
        self.empty_count -= 1;
        Some(magazine)
    }

    /// Gives an empty magazine; `false` if the depot has enough of them.
    pub fn push_empty(&mut self, magazine: MagazineRef) -> bool {
        if self.empty_count >= MAX_EMPTY {
            return false;
        }
        magazine.set_link(self.empty);
        self.empty = Some(magazine);
        self.empty_count += 1;
        true
    }

    /// How many full magazines stayed unused since the last call.
    pub fn excess(&mut self) -> u32 {
        let excess = self.full_low;
        self.full_low = self.full_count;
        excess
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn all_shards_together_hold_a_sixteenth_at_most() {
        for (in_use_mib, shards, mib) in [(0, 1, 1), (64, 8, 1), (256, 1, 8), (256, 2, 8), (256, 8, 2), (4096, 8, 32)] {
            assert_eq!(total_capacity(in_use_mib << 20, shards), mib << 20, "{in_use_mib} MiB, {shards} shards");
        }
    }
}
