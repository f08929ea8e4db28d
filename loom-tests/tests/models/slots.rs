//! Slots: refill, flush, depots, trimming, spans that run empty, holes.

use crate::check::{ALL, beside, model};
use crate::world::{User, World, pages_of};
use loom::sync::atomic::Ordering;
use neap::internals::caches::gone;
use neap::internals::page_heap::ReleaseOptions;
use neap::internals::sys::fault::{self, Op};
use neap::internals::sys::sim;
use neap::internals::units::PAGE_BYTES;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A thread that has given its cache back. It trades single slots with the spans.
fn without_cache(world: &Arc<World>) -> User {
    let user = User::new(world);
    user.words.own.store(gone(), Ordering::Relaxed);
    user
}

/// At the end of a model whose users have all exited: every slot went back, and every page can be released.
fn all_given_back(world: &World) {
    assert_eq!(world.held(), 0);
    world.heap.caches().trim(true);
    world.heap.scavenge_all(core::ptr::null());
    let (in_use, retained, _) = world.heap.page_heaps().check_accounts();
    assert_eq!((in_use, retained), (0, 0), "a span did not go back to the heap, or was forgotten by the scavenger");
    assert_eq!((world.heap.stats().hole_bytes, world.heap.stats().hole_released_bytes), (0, 0));
    assert_eq!(sim::all_resident_pages(), 0);
}

model!(a_slot_has_one_owner_through_refill_and_flush, 2, || {
    let world = World::new();
    let work = |user: &User| {
        let slots = [user.allocate(0), user.allocate(0)];
        user.free(0, slots[0]);
        user.free(0, slots[1]);
        user.exit();
    };
    let other = User::new(&world).begin(work);
    work(&User::new(&world));
    other.join().unwrap();
    all_given_back(&world);
});

model!(a_slot_freed_by_another_thread_has_one_owner_through_the_depot, ALL, || {
    let world = World::new();
    let maker = User::new(&world);
    let slots = [(); 6].map(|()| maker.allocate(1));
    // This thread only frees, so its full magazines go through the depot.
    let freer = User::new(&world).begin(move |user| {
        user.free_all(1, slots);
        user.exit();
    });
    let mine = [maker.allocate(1), maker.allocate(1)];
    maker.free_all(1, mine);
    freer.join().unwrap();
    maker.exit();
    all_given_back(&world);
});

model!(trimming_a_depot_takes_no_slot_from_a_user, 2, || {
    let world = World::new();
    let maker = User::new(&world);
    let slots = [(); 6].map(|()| maker.allocate(1));
    maker.free_all(1, slots);
    // A full magazine is in the depot. No thread has needed it since the first of these calls.
    world.heap.caches().trim(false);
    let trimmer = beside(&world, |world| world.heap.caches().trim(false));
    let user = User::new(&world);
    user.use_slot(1);
    trimmer.join().unwrap();
    user.exit();
    maker.exit();
    all_given_back(&world);
});

model!(a_span_that_runs_empty_is_retired_once_and_reused_whole, 4, || {
    let world = World::new();
    let users = [without_cache(&world), without_cache(&world)];
    let slots = [users[0].allocate(1), users[0].allocate(1), users[0].allocate(1), users[0].allocate(1)];
    let [first, second] = users;
    let other = first.begin(move |first| {
        first.free(1, slots[0]);
        first.free(1, slots[2]);
    });
    second.free(1, slots[1]);
    second.free(1, slots[3]);
    let again = second.allocate(1);
    second.free(1, again);
    other.join().unwrap();
    all_given_back(&world);
});

model!(a_double_free_ends_the_process_whoever_comes_first, ALL, || {
    let world = World::new();
    let users = [without_cache(&world), without_cache(&world)];
    let slot = users[0].allocate(1);
    let _neighbour = users[0].allocate(1);
    let threads = users.map(|user| user.begin(move |user| catch_unwind(AssertUnwindSafe(|| user.free_raw(1, slot)))));
    let results = threads.map(|thread| thread.join().unwrap());
    let message = |result: &Result<(), Box<dyn std::any::Any + Send>>| {
        result.as_ref().err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
    };
    let messages: Vec<String> = results.iter().filter_map(message).collect();
    assert!(messages.len() == 1 && messages[0].contains("double free"), "{messages:?}");
});

fn release_holes(world: &World) -> usize {
    world.heap.centrals().release_holes(usize::MAX, 0, ReleaseOptions::FULL).bytes
}

/// A span of class 1 with one slot in use and one free slot.
fn half_used(world: &Arc<World>) -> (User, usize) {
    let user = without_cache(world);
    let slots = [user.allocate(1), user.allocate(1)];
    sim::mark_owned(pages_of(1, slots[0]));
    sim::mark_owned(pages_of(1, slots[1]));
    sim::clear_owned(pages_of(1, slots[1]));
    user.free(1, slots[1]);
    (user, slots[0])
}

model!(a_hole_is_not_released_under_a_slot_that_was_taken, ALL, || {
    let world = World::new();
    let (user, neighbour) = half_used(&world);
    let scavenger = beside(&world, release_holes);
    let slot = user.allocate(1);
    sim::mark_owned(pages_of(1, slot));
    sim::clear_owned(pages_of(1, slot));
    user.free(1, slot);
    scavenger.join().unwrap();
    // The accounts count a page as released only if it is released.
    let holes = world.heap.stats().hole_released_bytes as usize / PAGE_BYTES;
    assert_eq!(sim::resident_pages(pages_of(1, neighbour)), 1);
    assert!(holes <= 1);
    sim::clear_owned(pages_of(1, neighbour));
    user.free(1, neighbour);
    all_given_back(&world);
});

model!(a_span_that_runs_empty_while_its_hole_is_released_goes_back_whole, ALL, || {
    let world = World::new();
    let (user, neighbour) = half_used(&world);
    let scavenger = beside(&world, release_holes);
    sim::clear_owned(pages_of(1, neighbour));
    user.free(1, neighbour);
    scavenger.join().unwrap();
    all_given_back(&world);
});

model!(two_scavengers_release_a_hole_once, ALL, || {
    let world = World::new();
    let (user, neighbour) = half_used(&world);
    let scavenger = beside(&world, release_holes);
    let mine = release_holes(&world);
    assert_eq!(mine + scavenger.join().unwrap(), PAGE_BYTES);
    assert_eq!(world.heap.stats().hole_released_bytes as usize, PAGE_BYTES);
    sim::clear_owned(pages_of(1, neighbour));
    user.free(1, neighbour);
    all_given_back(&world);
});

/// A thread of the first shard and a thread of the second shard.
fn of_both_shards(world: &Arc<World>) -> [User; 2] {
    let users = [User::new(world), User::new(world)];
    for user in &users {
        // A thread gets its cache, and with it its shard, in its first slow path.
        user.use_slot(1);
    }
    users
}

/// A thread of each shard with a full magazine, which holds a slot of each shard. The topmost slot is the other shard's, so the
/// magazine will go to the other shard's depot. The two spans have no other slots.
fn with_each_others_slots(world: &Arc<World>) -> [User; 2] {
    let [first, second] = of_both_shards(world);
    let [own, theirs] = [&first, &second].map(|user| [user.allocate(1), user.allocate(1)]);
    first.free(1, own[0]);
    first.free(1, theirs[0]);
    second.free(1, theirs[1]);
    second.free(1, own[1]);
    [first, second]
}

model!(a_slot_freed_in_another_shard_goes_back_to_its_own_central_once, 2, || {
    let world = World::new();
    for user in with_each_others_slots(&world) {
        user.exit();
    }
    let trimmer = beside(&world, |world| world.heap.caches().trim(true));
    let user = without_cache(&world);
    user.use_slot(1);
    trimmer.join().unwrap();
    all_given_back(&world);
});

model!(one_trim_gives_back_spans_whose_slots_are_in_other_shards_depots, ALL, || {
    let world = World::new();
    let [first, second] = with_each_others_slots(&world);
    let other = first.begin(User::exit);
    second.exit();
    other.join().unwrap();
    world.heap.caches().trim(true);
    assert_eq!(
        world.heap.page_heaps().check_accounts().0,
        0,
        "a span stayed behind although all its slots were in depots"
    );
});

model!(a_refill_takes_slots_that_come_back_to_another_shards_central_meanwhile, ALL, || {
    let world = World::new();
    let [first, second] = of_both_shards(&world);
    // Threads without a cache use the first shard. Three of the four slots of the owner's span are free in the end.
    let owner = without_cache(&world);
    let slots = [owner.allocate(0), owner.allocate(0)];
    owner.free(0, slots[0]);
    let pages = world.heap.page_heaps().check_accounts().0;
    let other = owner.begin(move |owner| owner.free(0, slots[1]));
    let taken = [second.allocate(0), second.allocate(0)];
    other.join().unwrap();
    assert_eq!(world.heap.page_heaps().check_accounts().0, pages, "a span was made although there were slots");
    second.free_all(0, taken);
    second.exit();
    first.exit();
    all_given_back(&world);
});

model!(a_thread_of_one_shard_allocates_while_one_of_another_frees_and_exits_and_nothing_is_lost, 3, || {
    let world = World::new();
    let [first, second] = of_both_shards(&world);
    let slots = [(); 6].map(|()| first.allocate(0));
    let other = first.begin(move |first| {
        first.free_all(0, slots);
        first.exit();
    });
    second.use_slot(0);
    other.join().unwrap();
    second.exit();
    all_given_back(&world);
});

model!(the_last_free_slots_are_every_shards, 3, || {
    let world = World::new();
    let [_first, second] = of_both_shards(&world);
    // One slot of four spans is free, later two: an eighth, so not enough of an excess. The spans are of the first shard.
    let owner = without_cache(&world);
    let slots = [(); 15].map(|()| owner.allocate(0));
    fault::fail_from(Op::Back, 0);
    for pages in [256, 128, 64, 32, 16, 8, 4, 2, 1] {
        while world.heap.take_pages(pages).is_some() {}
    }
    let other = owner.begin(move |owner| owner.free(0, slots[0]));
    second.allocate(0);
    other.join().unwrap();
    second.allocate(0);
    assert_eq!(second.allocate_raw(0), 0, "there is no third slot");
});

model!(a_partly_filled_magazine_ends_below_its_last_slot, ALL, || {
    let world = World::new();
    let user = User::new(&world);
    // All slots of a span are in use. The magazine's words still hold the last two.
    let slots = [(); 4].map(|()| user.allocate(0));
    let other = without_cache(&world).begin(move |user| user.free(0, slots[0]));
    let more = [user.allocate(0), user.allocate(0)];
    other.join().unwrap();
    for slot in slots[1..].iter().chain(&more) {
        user.free(0, *slot);
    }
    user.exit();
    all_given_back(&world);
});

model!(the_levels_never_show_more_than_there_is, 3, || {
    let world = World::new();
    let (user, _neighbour) = half_used(&world);
    let most = world.heap.stats().mapped_bytes as usize;
    let scavenger = beside(&world, release_holes);
    let observer = beside(&world, move |world| {
        let holes = world.heap.accounts().counters.released_hole_bytes();
        let (_, unreleased) = world.heap.accounts().levels();
        assert!(holes <= most && unreleased as usize <= most, "a level wrapped: {holes:#x} {unreleased:#x}");
    });
    user.allocate(1);
    user.allocate(1);
    scavenger.join().unwrap();
    observer.join().unwrap();
});
