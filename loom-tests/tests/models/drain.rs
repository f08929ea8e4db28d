//! Draining the caches of idle threads, against their owners: single pops and pushes, slow paths, first use and exit.

use crate::check::{ALL, model};
use crate::world::{User, World};
use loom::thread;
use std::ptr::null;
use std::sync::Arc;

/// A user whose loaded magazine of class 1 holds two slots and whose spare holds one or two.
fn with_full_magazines(world: &Arc<World>) -> User {
    let user = User::new(world);
    let slots = [(); 4].map(|()| user.allocate(1));
    for slot in slots {
        user.free(1, slot);
    }
    user
}

/// A user whose frees go onto the spare magazine, class 0: two slots there, two in the loaded one.
fn with_split_magazines(world: &Arc<World>) -> User {
    let user = User::new(world);
    let slots = [(); 4].map(|()| user.allocate(0));
    for slot in slots {
        user.free_by_address(0, slot);
    }
    user
}

/// [`take_all`] for class 0.
fn take_all_split(world: &Arc<World>, owner: &User) {
    let other = User::new(world);
    for _ in 0..4 {
        owner.allocate(0);
        other.allocate(0);
    }
}

fn drain(world: &World) {
    world.heap.caches().drain(null());
}

/// Everything that can be had is had once: slots that two caches hold would be handed out twice here.
fn take_all(world: &Arc<World>, owner: &User) {
    let other = User::new(world);
    for _ in 0..4 {
        owner.allocate(1);
        other.allocate(1);
    }
}

model!(a_drainer_and_a_popping_owner_share_no_slot, ALL, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    owner.allocate(1);
    owner.allocate(1);
    drainer.join().unwrap();
    take_all(&world, &owner);
});

model!(a_drainer_and_a_pushing_owner_share_no_slot, 4, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let slots = [owner.allocate(1), owner.allocate(1)];
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    owner.free(1, slots[0]);
    owner.free(1, slots[1]);
    drainer.join().unwrap();
    take_all(&world, &owner);
});

model!(a_drainer_and_an_owner_that_pops_and_pushes_share_no_slot, 3, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    let slot = owner.allocate(1);
    owner.free(1, slot);
    let slot = owner.allocate(1);
    owner.free(1, slot);
    drainer.join().unwrap();
    take_all(&world, &owner);
});

model!(a_drainer_and_an_owner_that_frees_by_address_share_no_slot, 3, || {
    let world = World::new();
    let owner = with_split_magazines(&world);
    let slots = [(); 3].map(|()| owner.allocate(0));
    owner.free_by_address(0, slots[0]);
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    owner.free_by_address(0, slots[1]);
    owner.allocate(0);
    owner.free_by_address(0, slots[2]);
    drainer.join().unwrap();
    take_all_split(&world, &owner);
});

model!(a_free_by_address_during_a_drain_loses_no_slot, 3, || {
    let world = World::new();
    let owner = with_split_magazines(&world);
    // The loaded and the spare magazine have one slot each, so the next free goes the fast path.
    let slots = [(); 3].map(|()| owner.allocate(0));
    owner.free_by_address(0, slots[0]);
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    owner.free_by_address(0, slots[1]);
    drainer.join().unwrap();
    owner.free_by_address(0, slots[2]);
    owner.exit();
    world.heap.scavenge_all(null());
    assert_eq!(world.heap.page_heaps().check_accounts().0, 0, "a slot was lost");
});

model!(a_drainer_and_an_owner_that_loads_its_spare_share_no_slot, 3, || {
    let world = World::new();
    let owner = with_split_magazines(&world);
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    let slots = [(); 3].map(|()| owner.allocate(0));
    owner.free_by_address(0, slots[0]);
    owner.free(0, slots[1]);
    drainer.join().unwrap();
    take_all_split(&world, &owner);
});

model!(drained_slots_reach_another_thread_and_no_two_have_one, 3, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let other = {
        let user = User::new(&world);
        thread::spawn(move || {
            drain(&user.world);
            user.allocate(1);
            user.allocate(1);
        })
    };
    owner.allocate(1);
    owner.allocate(1);
    owner.allocate(1);
    other.join().unwrap();
});

model!(two_drains_in_turn_leave_the_cache_to_its_owner, 2, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let drainers = [(); 2].map(|()| {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    });
    owner.allocate(1);
    let slot = owner.allocate(1);
    owner.free(1, slot);
    for drainer in drainers {
        drainer.join().unwrap();
    }
    take_all(&world, &owner);
});

model!(a_thread_that_makes_its_cache_is_not_drained_behind_its_back, 3, || {
    let world = World::new();
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    let owner = User::new(&world);
    let slot = owner.allocate(1);
    owner.free(1, slot);
    owner.allocate(1);
    owner.allocate(1);
    drainer.join().unwrap();
    take_all(&world, &owner);
});

model!(an_exit_during_a_drain_gives_every_slot_back_once, 3, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    let slot = owner.allocate(1);
    owner.free(1, slot);
    owner.exit();
    drainer.join().unwrap();
    // After its exit the thread goes on without a cache.
    let slot = owner.allocate(1);
    owner.free(1, slot);
    world.heap.scavenge_all(null());
    assert_eq!(world.heap.page_heaps().check_accounts().0, 0, "a slot was lost");
});

model!(a_freed_only_thread_that_exits_during_a_drain_loses_nothing, 3, || {
    let world = World::new();
    let maker = User::new(&world);
    let slots = [(); 3].map(|()| maker.allocate(1));
    maker.exit();
    let freer = {
        let user = User::new(&world);
        thread::spawn(move || {
            for slot in slots {
                user.free(1, slot);
            }
            user.exit();
        })
    };
    drain(&world);
    freer.join().unwrap();
    world.heap.scavenge_all(null());
    assert_eq!(world.heap.page_heaps().check_accounts().0, 0, "a slot was lost");
});

model!(an_exiting_threads_cache_is_reused_by_a_new_thread_under_a_drainers_eyes, 3, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let drainer = {
        let world = Arc::clone(&world);
        thread::spawn(move || drain(&world))
    };
    owner.exit();
    let next = User::new(&world);
    let slot = next.allocate(1);
    next.free(1, slot);
    drainer.join().unwrap();
    next.exit();
    // What the first one left in its shard's depot has slots: the third thread is of that shard.
    let third = User::new(&world);
    let slots = [(); 3].map(|()| third.allocate(1));
    for slot in slots {
        third.free(1, slot);
    }
    third.exit();
    world.heap.scavenge_all(null());
    assert_eq!(world.heap.page_heaps().check_accounts().0, 0, "a slot was lost");
});
