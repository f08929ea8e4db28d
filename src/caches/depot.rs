//! The depot: a size class's full and empty magazines, shared by the threads of a shard.
//!
//! A thread trades an empty magazine for a full one, in O(1) for dozens of slots. So the frees of one thread feed the
//! allocations of another thread, and no span is touched (Bonwick and Adams 2001). A trim gives the magazines that stayed
//! unused since the trim before back to the spans: this is the working-set rule of the same paper.
//!
//! Locks: each depot has a lock (rank depot), one for each class and shard. A thread holds it for a few loads and stores, and
//! takes no other lock under it.

use crate::size_class::info;

use super::magazine::MagazineRef;

/// The most bytes of slots in a depot. A depot of [`MAX_FULL`] magazines may hold more bytes.
///
/// A magazine comes back in the order of the frees, while a span hands out neighbours. With a depot for a whole burst, small
/// objects that are made together would lie scattered, and programs would run slower. What threads pass to each other needs a
/// few magazines only.
const MAX_BYTES: usize = 32 << 10;
/// The full magazines that each depot may hold, whatever their bytes.
const MAX_FULL: usize = 8;
/// The bytes that all depots of a shard together may hold, however small the heap is.
pub const LEAST_TOTAL_BYTES: usize = 1 << 20;
/// The depots of all shards together may hold one part in this many of the pages in use. Without a bound, a program that
/// replaces objects of all classes keeps much of its memory in depots.
const MAX_TOTAL_PART: usize = 16;
/// The most empty magazines in a depot, for the next exchanges. Further ones go back to the metadata store.
const MAX_EMPTY: u32 = 16;

/// A class's depot.
pub struct Depot {
    full: Option<MagazineRef>,
    full_count: u32,
    /// The fewest full magazines since the last trim. No thread needed them: they are the excess.
    full_low: u32,
    empty: Option<MagazineRef>,
    empty_count: u32,
}

// SAFETY: a depot owns its magazines; the links are words of the magazines.
unsafe impl Send for Depot {}

/// The most full magazines in a depot of a class.
pub fn capacity(class: usize) -> u32 {
    (MAX_BYTES / magazine_bytes(class)).max(MAX_FULL) as u32
}

/// Bytes of the slots in a full magazine.
pub fn magazine_bytes(class: usize) -> usize {
    let info = info(class);
    (info.magazine_slots * info.slot_bytes) as usize
}

/// The most bytes in all depots of a shard together, while `in_use_bytes` are in use. A single shard gets as much as each of
/// two shards.
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

    /// Puts a full magazine in. `false` if the depot holds its share already.
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

    /// Puts an empty magazine in. `false` if the depot holds enough empty magazines.
    pub fn push_empty(&mut self, magazine: MagazineRef) -> bool {
        if self.empty_count >= MAX_EMPTY {
            return false;
        }
        magazine.set_link(self.empty);
        self.empty = Some(magazine);
        self.empty_count += 1;
        true
    }

    /// The excess: how many full magazines no thread needed since the last call.
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
