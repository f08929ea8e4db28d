//! The table of locks in README.md, against the locks that really nest. The model walks every path of the heap, and
//! `neap::internals::sys::held` notes every pair of a held and a taken lock.
//!
//! Every model checks the order of ranks at each lock, and checks at each system call that no lock is held.

use crate::check::model;
use crate::world::{User, World, use_and_free_pages};
use neap::internals::lock::Rank;
use neap::internals::pacing::{Goal, Wake};
use neap::internals::page_heap::ReleaseOptions;
use neap::internals::sys::held::observed;
use neap::internals::sys::sim::process;
use neap::internals::units::CHUNK_PAGES;
use std::fmt::Write as _;
use std::ptr::null;
use std::sync::Arc;

/// The table that the model saw.
fn table() -> String {
    let mut text = String::from("| held \\ taken |");
    for taken in Rank::ALL {
        write!(text, " {} |", taken.name()).unwrap();
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(Rank::ALL.len()));
    for held in Rank::ALL {
        write!(text, "\n| {} |", held.name()).unwrap();
        for taken in Rank::ALL {
            let cell = match (observed::was_nested(held, taken), observed::was_nested_by_fork(held, taken)) {
                (true, _) => " yes |",
                (false, true) => " fork |",
                (false, false) => " |",
            };
            text.push_str(cell);
        }
    }
    text
}

/// Walks every path that takes a lock.
fn walk_every_path(world: &Arc<World>) {
    let heap = &world.heap;
    let any = Wake { retained_bytes: u64::MAX, hole_bytes: u64::MAX };
    heap.accounts().wakeup.publish(any, Goal { retained_bytes: 0, backed_bytes: u64::MAX });
    let user = User::new(world);
    let slots = [(); 9].map(|()| user.allocate(1));
    let other = User::new(world);
    other.free_all(1, slots);
    heap.caches().drain(null());
    heap.caches().trim(false);
    user.use_slot(0);
    heap.centrals().release_holes(usize::MAX, 0, ReleaseOptions::FULL);
    // Blocks of pages that replace each other in the page cache.
    for run in [(); 9].map(|()| heap.take_span_pages(15).unwrap().run) {
        heap.free_pages(run);
    }
    // Growth that scavenges inline; large objects and their resizing.
    use_and_free_pages(world, CHUNK_PAGES - 64);
    use_and_free_pages(world, CHUNK_PAGES);
    let large = heap.allocate_large(0, 100_000, 1).unwrap().base;
    heap.page_heaps().resize_large(large, 200_000);
    heap.page_heaps().resize_large(large, 50_000);
    heap.deallocate_large(large);
    heap.stats();
    heap.synchronized_levels();
    user.exit();
    other.exit();
    heap.scavenge_all(null());
    assert!(heap.prepare_fork().is_ok());
    process::fork_here(0);
    heap.after_fork_in_parent();
}

model!(every_pair_of_locks_that_nests_is_in_the_table, 1, || {
    let world = World::new();
    process::plan_fork();
    walk_every_path(&world);
    let another = User::new(&world).begin(|user| process::run_thread(|| user.use_slot(0)));
    another.join().unwrap();
    let table = table();
    let written = include_str!("../../README.md");
    assert!(written.contains(&table), "README.md has another table of locks than this one:\n{table}");
});
