//! Shards: each class has a depot and a central in every shard, and threads are spread over the shards in turn.
//!
//! A span belongs to the shard that made it, so threads of different shards neither wait for each other nor write to the
//! same cache lines: to those of locks and records, and to those of each other's objects. Where a line takes 180 ns from one
//! core to the other (two groups of cores), binary trees and maps on two threads took 1.5 times as long with one shard.
//! A thread whose shard has nothing takes what the other shards have before the heap gives a new span, so memory is
//! not kept apart.
//!
//! Orderings: Relaxed. A number that is a thread behind means a shard not looked at, once.
//!
//! Locks: none here; the number in use is written under the registry's lock.

use core::ops::Range;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{const_unless_loom, plain};

/// The most shards.
pub const SHARDS: usize = if cfg!(loom) { 2 } else { 8 };

/// How many shards there are, and how many are in use.
pub struct Shards {
    /// The number of shards minus one; a power of two of them.
    mask: plain::AtomicUsize,
    /// Shards that a thread was assigned to: these and no others have memory.
    used: AtomicUsize,
}

impl Shards {
    const_unless_loom! {
        /// One shard, in use.
        pub fn new() -> Self {
            Self { mask: plain::AtomicUsize::new(0), used: AtomicUsize::new(1) }
        }
    }

    /// A shard a processor: with more, threads that come and go spread thin over them, and two busy ones share one seldom.
    pub fn configure(&self, cpus: usize) {
        let shards = cpus.next_power_of_two().min(SHARDS);
        self.mask.store(shards - 1, Ordering::Relaxed);
    }

    /// The shard of the thread with that number. Called under the registry's lock.
    pub fn assign(&self, thread: usize) -> usize {
        let shard = thread & self.mask.load(Ordering::Relaxed);
        if shard >= self.used.load(Ordering::Relaxed) {
            self.used.store(shard + 1, Ordering::Relaxed);
        }
        shard
    }

    /// The shards in use.
    pub fn all(&self) -> Range<usize> {
        0..self.used.load(Ordering::Relaxed)
    }

    /// The shards in use but `shard`, those that follow it first.
    pub fn others(&self, shard: usize) -> impl Iterator<Item = usize> {
        let used = self.used.load(Ordering::Relaxed);
        (1..used).map(move |distance| (shard + distance) % used)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn threads_take_the_shards_in_turn_and_a_shard_is_in_use_from_its_first_thread_on() {
        for (cpus, shards) in [(1, 1), (2, 2), (3, 4), (4, 4), (7, 8), (8, 8), (64, 8)] {
            let all = Shards::new();
            all.configure(cpus);
            assert_eq!(all.all(), 0..1);
            for thread in 0..20 {
                assert_eq!(all.assign(thread), thread % shards, "{cpus} processors");
                assert_eq!(all.all(), 0..(thread + 1).min(shards), "{cpus} processors");
            }
        }
    }

    #[test]
    fn shards_that_were_skipped_are_in_use_too() {
        let shards = Shards::new();
        shards.configure(8);
        assert_eq!(shards.assign(5), 5);
        assert_eq!(shards.all(), 0..6);
        assert_eq!(shards.assign(1), 1);
        assert_eq!(shards.all(), 0..6);
    }

    #[test]
    fn the_others_begin_behind_ones_own() {
        let shards = Shards::new();
        shards.configure(4);
        assert_eq!(shards.others(0).count(), 0);
        shards.assign(3);
        for (shard, others) in [(0, [1, 2, 3]), (1, [2, 3, 0]), (2, [3, 0, 1]), (3, [0, 1, 2])] {
            assert_eq!(shards.others(shard).collect::<Vec<_>>(), others);
        }
    }
}
