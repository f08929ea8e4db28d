//! Which page heap a run comes from.

use super::PageHeaps;
use super::single::Want;
use crate::pages::Taken;
use crate::units::{CHUNK_PAGES, Run};
use std::boxed::Box;

/// Page heaps that two shards use.
pub fn heaps_of_two_shards() -> &'static PageHeaps {
    let heaps = Box::leak(Box::new(PageHeaps::new()));
    assert!(heaps.initialize());
    heaps.accounts.shards.double();
    heaps
}

#[test]
fn pages_for_small_objects_come_from_another_page_heap_only_if_that_does_not_need_them() {
    let heap = heaps_of_two_shards();
    let owner = |taken: Taken| heap.index.owner(taken.run.first.chunk());
    let want = Want { pages: 8, align_pages: 1, in_region: true };
    let taken = heap.take_from_heaps(0, want).unwrap();
    assert_eq!(owner(taken), 0);
    heap.free_run(taken.run);
    assert_eq!(owner(heap.take_from_heaps(1, want).unwrap()), 1, "just freed");
    let rest = Want { pages: CHUNK_PAGES - want.pages, align_pages: 1, in_region: false };
    assert!(heap.take_from(1, rest).is_some() && heap.take_from(1, want).is_none());
    // As if others had looked in the next epochs.
    let epoch = heap.accounts.epoch();
    for later in 1..3 {
        heap.heaps[0].lock().excess_pages(epoch.wrapping_add(later));
    }
    assert_eq!(owner(heap.take_from_heaps(1, want).unwrap()), 0, "not needed for a epoch");
    assert_eq!(owner(heap.take_from_heaps(1, want).unwrap()), 1, "the rest was never backed");
    heap.free_run(taken.run);
    assert!(heap.take_from(1, rest).is_some());
    assert_eq!(owner(heap.take_from_heaps(1, Want { in_region: false, ..want }).unwrap()), 0, "a large block takes it");
}

#[test]
fn a_large_block_comes_from_another_page_heap_if_that_retains_so_much_more_than_the_own() {
    let heap = heaps_of_two_shards();
    let owner = |taken: Taken| heap.index.owner(taken.run.first.chunk());
    let want = |pages| Want { pages, align_pages: 1, in_region: false };
    let [run, own] =
        [(0, 64), (1, CHUNK_PAGES)].map(|(shard, pages)| heap.take_or_grow(shard, want(pages)).unwrap().run);
    heap.free_run(run);
    heap.free_run(Run { pages: 2, ..own });
    assert_eq!(owner(heap.take_from_heaps(1, want(63)).unwrap()), 1, "less than 63 pages more: the own one grows");
    assert!(heap.take_from(1, want(CHUNK_PAGES - 63)).is_some() && heap.take_from(1, want(62)).is_none());
    let taken = heap.take_from_heaps(1, want(62)).unwrap();
    assert_eq!((owner(taken), taken.scavenged_pages), (0, 0), "62 pages more");
}

#[test]
fn a_large_object_does_not_grow_into_another_page_heap() {
    let heap = heaps_of_two_shards();
    let want = Want { pages: CHUNK_PAGES, align_pages: 1, in_region: false };
    heap.take_or_grow(1, want).unwrap();
    let object = heap.allocate_large(0, want.pages * crate::units::PAGE_BYTES, 1).unwrap().base;
    // The other page heap's next chunk follows the object.
    let next = Run { first: crate::units::Page::containing(object.addr().get()).plus(CHUNK_PAGES), pages: CHUNK_PAGES };
    assert!(heap.index.prepare(next.first.chunk().root()));
    heap.index.set_owner(next, 1);
    {
        let mut pages = heap.heaps[1].lock();
        let root = next.first.chunk().root();
        if !pages.allocator.has_root(root) {
            let memory = crate::sys::vm::map_metadata(size_of::<crate::pages::Root>()).unwrap();
            // SAFETY: fresh zeroed memory that is never unmapped; all-zero bytes are a valid root.
            pages.allocator.add_root(root, unsafe { memory.cast().as_mut() }).unwrap();
        }
        pages.allocator.grow(next).unwrap();
    }
    assert!(!heap.resize_large(object, (CHUNK_PAGES + 1) * crate::units::PAGE_BYTES));
    heap.deallocate_large(object);
}
