//! Pages: scavenging, growth and page caches.

use crate::check::{ALL, beside, model};
use crate::world::{World, free_pages, use_and_free_pages, use_pages};
use neap::internals::pacing::{Goal, Wake};
use neap::internals::page_heap::ReleaseOptions;
use neap::internals::sys::fault::{self, Op};
use neap::internals::sys::sim;
use neap::internals::units::{CHUNK_PAGES, Page, Run};
use std::sync::Arc;

/// A heap with `pages` retained pages at the bottom of its first chunk.
fn with_retained(pages: usize) -> Arc<World> {
    let world = World::new();
    use_and_free_pages(&world, pages);
    world
}

/// A heap of one chunk. Eight of its pages are retained, the others in use, and growth must scavenge.
fn with_eight_free_pages() -> Arc<World> {
    let world = World::new();
    let whole = use_pages(&world, CHUNK_PAGES);
    free_pages(&world, Run { first: whole.first, pages: 8 });
    let any = Wake { retained_bytes: u64::MAX, hole_bytes: u64::MAX };
    world.heap.accounts().wakeup.publish(any, Goal { retained_bytes: 0, backed_bytes: u64::MAX });
    world
}

fn scavenge(world: &World) -> usize {
    world.heap.page_heaps().scavenge(usize::MAX, ReleaseOptions::FULL).bytes
}

model!(a_page_is_never_released_while_it_is_in_use_and_the_accounts_stay_exact, ALL, || {
    let world = with_retained(2);
    let scavenger = beside(&world, scavenge);
    use_and_free_pages(&world, 1);
    scavenger.join().unwrap();
    world.check_pages();
});

model!(two_scavengers_release_each_page_once, ALL, || {
    let world = with_retained(2);
    let other = beside(&world, scavenge);
    let mine = scavenge(&world);
    let theirs = other.join().unwrap();
    assert_eq!(mine + theirs, 2 * neap::internals::units::PAGE_BYTES);
    world.check_pages();
});

model!(two_scavengers_and_a_user_agree_on_every_page, 2, || {
    let world = with_retained(2);
    let scavengers = [(); 2].map(|()| beside(&world, scavenge));
    use_and_free_pages(&world, 1);
    for scavenger in scavengers {
        scavenger.join().unwrap();
    }
    world.check_pages();
    // No freed page is forgotten: a chunk with retained pages has its mark.
    assert_ne!(world.heap.page_heaps().is_retained_chunk_marked(), Some(false));
});

model!(a_refused_release_leaves_its_pages_retained, ALL, || {
    let world = with_retained(1);
    fault::fail_nth(Op::Release, 0);
    let scavenger = beside(&world, scavenge);
    use_and_free_pages(&world, 1);
    scavenger.join().unwrap();
    world.check_pages();
});

model!(a_thread_that_grows_the_heap_always_gets_its_span, 3, || {
    // A thread that wants 300 pages must grow the heap. Two growths are allowed.
    let world = with_eight_free_pages();
    fault::fail_from(Op::Back, 2);
    let other = beside(&world, |world| world.heap.take_pages(300).map(|taken| sim::mark_owned(taken.run)));
    let mine = world.heap.take_pages(300).map(|taken| sim::mark_owned(taken.run));
    let theirs = other.join().unwrap();
    assert!(mine.is_some() && theirs.is_some(), "a thread that needed memory went away empty-handed");
    // The thread that grew the heap counts the growth once it has its run. A growth whose pages another thread took is not
    // counted.
    let stats = world.heap.stats();
    let chunks = stats.mapped_bytes / neap::internals::units::CHUNK_BYTES as u64;
    assert_eq!(stats.growths_total, chunks, "a thread grew the heap for somebody else");
    world.check_pages();
});

model!(growth_scavenges_while_another_allocator_takes_every_free_page, 3, || {
    let world = with_eight_free_pages();
    let other = beside(&world, |world| use_and_free_pages(world, 8));
    use_and_free_pages(&world, 300);
    other.join().unwrap();
    let (in_use, ..) = world.heap.page_heaps().check_accounts();
    assert_eq!(in_use, CHUNK_PAGES - 8);
});

model!(page_caches_lose_no_page_to_refills_and_trims, 3, || {
    let world = with_retained(3);
    let user = |world: &World| {
        let run = world.heap.take_span_pages(2).unwrap().run;
        sim::mark_owned(run);
        free_pages(world, run);
    };
    let other = beside(&world, user);
    let trimmer = beside(&world, |world| world.heap.caches().trim(false));
    user(&world);
    other.join().unwrap();
    trimmer.join().unwrap();
    world.check_pages();
    world.heap.caches().trim(true);
    scavenge(&world);
    assert_eq!(world.heap.page_heaps().check_accounts().1, 0, "a page that went through a page cache is not scavenged");
    assert_eq!(sim::all_resident_pages(), 0);
});

model!(a_page_in_a_page_cache_is_not_released, ALL, || {
    let world = with_retained(3);
    let scavenger = beside(&world, |world| {
        world.heap.caches().trim(false);
        scavenge(world)
    });
    let run = world.heap.take_span_pages(2).unwrap().run;
    sim::mark_owned(run);
    free_pages(&world, run);
    scavenger.join().unwrap();
    world.check_pages();
});

model!(pages_that_come_back_from_a_page_cache_are_marked_again, ALL, || {
    let world = with_retained(4);
    let run = world.heap.take_span_pages(2).unwrap().run;
    let scavenger = beside(&world, scavenge);
    world.heap.caches().trim(false);
    scavenger.join().unwrap();
    assert_ne!(
        world.heap.page_heaps().is_retained_chunk_marked(),
        Some(false),
        "retained pages that no scavenger will find"
    );
    sim::mark_owned(run);
    free_pages(&world, run);
    scavenge(&world);
    assert_eq!(world.heap.page_heaps().check_accounts().1, 0);
});

model!(the_record_of_a_live_span_is_never_given_back, ALL, || {
    let world = with_retained(2);
    let scavenger = beside(&world, scavenge);
    // This ends the process if the record was lost meanwhile.
    let large = world.heap.allocate_large(0, 1, 1).unwrap();
    let run = Run { first: Page::containing(large.base.addr().get()), pages: 1 };
    sim::mark_owned(run);
    sim::clear_owned(run);
    world.heap.deallocate_large(large.base);
    scavenger.join().unwrap();
    world.check_pages();
});
