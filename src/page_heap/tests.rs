//! Tests: which page heap a run comes from, and how much of a run goes back.

use super::PageHeaps;
use super::options::{ReleaseOptions, Scavenged};
use super::single::Request;
use crate::pages::Taken;
use crate::units::{CHUNK_PAGES, PAGE_BYTES, Run};
use std::boxed::Box;

/// Page heaps that two shards use.
pub fn page_heaps_of_two_shards() -> &'static PageHeaps {
    let page_heaps = Box::leak(Box::new(PageHeaps::new()));
    assert!(page_heaps.initialize());
    page_heaps.accounts.shards.double();
    page_heaps
}

#[test]
fn pages_for_small_objects_come_from_another_page_heap_only_out_of_its_excess() {
    let page_heaps = page_heaps_of_two_shards();
    let owner = |taken: Taken| page_heaps.index.owner(taken.run.first.chunk());
    let request = Request { pages: 8, align_pages: 1, in_region: true };
    let taken = page_heaps.take_from_page_heaps(0, request).unwrap();
    assert_eq!(owner(taken), 0);
    page_heaps.free_run(taken.run);
    assert_eq!(owner(page_heaps.take_from_page_heaps(1, request).unwrap()), 1, "just freed");
    let rest = Request { pages: CHUNK_PAGES - request.pages, align_pages: 1, in_region: false };
    assert!(page_heaps.take_from(1, rest).is_some() && page_heaps.take_from(1, request).is_none());
    // As if other threads had looked in the next two epochs.
    let epoch = page_heaps.accounts.epoch();
    for later in 1..3 {
        page_heaps.page_heaps[0].lock().excess_pages(epoch.wrapping_add(later));
    }
    assert_eq!(owner(page_heaps.take_from_page_heaps(1, request).unwrap()), 0, "not needed for an epoch");
    assert_eq!(owner(page_heaps.take_from_page_heaps(1, request).unwrap()), 1, "the rest was never backed");
    page_heaps.free_run(taken.run);
    assert!(page_heaps.take_from(1, rest).is_some());
    assert_eq!(
        owner(page_heaps.take_from_page_heaps(1, Request { in_region: false, ..request }).unwrap()),
        0,
        "a large block takes it"
    );
}

#[test]
fn a_large_block_leaves_another_page_heap_as_much_as_the_own_retains() {
    let page_heaps = page_heaps_of_two_shards();
    let owner = |taken: Taken| page_heaps.index.owner(taken.run.first.chunk());
    let request = |pages| Request { pages, align_pages: 1, in_region: false };
    let [run, own] =
        [(0, 64), (1, CHUNK_PAGES)].map(|(shard, pages)| page_heaps.take_or_grow(shard, request(pages)).unwrap().run);
    page_heaps.free_run(run);
    page_heaps.free_run(Run { pages: 2, ..own });
    assert_eq!(
        owner(page_heaps.take_from_page_heaps(1, request(63)).unwrap()),
        1,
        "less than 63 pages more: the own page heap grows"
    );
    assert!(
        page_heaps.take_from(1, request(CHUNK_PAGES - 63)).is_some() && page_heaps.take_from(1, request(62)).is_none()
    );
    let taken = page_heaps.take_from_page_heaps(1, request(62)).unwrap();
    assert_eq!((owner(taken), taken.scavenged_pages), (0, 0), "62 pages more");
}

#[test]
fn a_large_object_does_not_grow_into_another_page_heap() {
    let page_heaps = page_heaps_of_two_shards();
    let request = Request { pages: CHUNK_PAGES, align_pages: 1, in_region: false };
    page_heaps.take_or_grow(1, request).unwrap();
    let object = page_heaps.allocate_large(0, request.pages * crate::units::PAGE_BYTES, 1).unwrap().base;
    // The other page heap's next chunk follows the object.
    let next = Run { first: crate::units::Page::containing(object.addr().get()).plus(CHUNK_PAGES), pages: CHUNK_PAGES };
    assert!(page_heaps.index.prepare(next.first.chunk().root()));
    page_heaps.index.set_owner(next, 1);
    {
        let mut other = page_heaps.page_heaps[1].lock();
        let root = next.first.chunk().root();
        if !other.allocator.has_root(root) {
            let memory = crate::sys::vm::map_metadata(size_of::<crate::pages::Root>()).unwrap();
            // SAFETY: the memory is fresh, zeroed and never unmapped. All-zero bytes are a valid root.
            other.allocator.add_root(root, unsafe { memory.cast().as_mut() }).unwrap();
        }
        other.allocator.grow(next).unwrap();
    }
    assert!(!page_heaps.resize_large(object, (CHUNK_PAGES + 1) * crate::units::PAGE_BYTES));
    page_heaps.deallocate_large(object);
}

#[test]
fn a_scavenge_that_wants_less_than_a_run_releases_a_part_of_it() {
    let page_heaps = page_heaps_of_two_shards();
    // In the first MiB: no huge page there makes the part longer.
    let run = page_heaps.take_or_grow(0, Request { pages: 64, align_pages: 1, in_region: true }).unwrap().run;
    page_heaps.free_run(run);
    let portion = 16 * PAGE_BYTES;
    let retained = || page_heaps.page_heap_of(run.first.chunk()).lock().allocator.chunk_retained(run.first.chunk());
    assert_eq!(retained(), 64);
    for left in [48, 32, 16, 0] {
        assert_eq!(page_heaps.scavenge(portion, ReleaseOptions::FULL), Scavenged { bytes: portion, exhausted: false });
        assert_eq!(retained(), left);
    }
    assert_eq!(page_heaps.scavenge(portion, ReleaseOptions::FULL), Scavenged { bytes: 0, exhausted: true });
}
