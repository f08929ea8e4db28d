//! Draining the caches of idle threads, against what their owners do: single pops and pushes, slow paths, first use and exit.

use crate::check::{ALL, beside, model};
use crate::world::{User, World};
use std::ptr::null;
use std::sync::Arc;

/// A user whose loaded magazine of class 1 holds two slots. Its spare magazine holds one or two.
fn with_full_magazines(world: &Arc<World>) -> User {
    let user = User::new(world);
    let slots = [(); 4].map(|()| user.allocate(1));
    user.free_all(1, slots);
    user
}

/// A user whose frees go onto the spare magazine (class 0). Spare and loaded magazine hold two slots each.
fn with_split_magazines(world: &Arc<World>) -> User {
    let user = User::new(world);
    let slots = [(); 4].map(|()| user.allocate(0));
    for slot in slots {
        user.free_by_address(0, slot);
    }
    user
}

fn drain(world: &World) {
    world.heap.caches().drain(null());
}

/// Does `work` while another thread drains.
fn while_drained<T>(world: &Arc<World>, work: impl FnOnce() -> T) -> T {
    let drainer = beside(world, drain);
    let result = work();
    drainer.join().unwrap();
    result
}

/// At the end of a model whose users have all exited.
fn nothing_is_lost(world: &World) {
    world.heap.scavenge_all(null());
    assert_eq!(world.heap.page_heaps().check_accounts().0, 0, "a slot was lost");
}

/// Takes all slots that two users can get. If two caches held the same slot, it would be handed out twice here.
fn take_all(world: &Arc<World>, class: usize, owner: &User) {
    let other = User::new(world);
    for _ in 0..4 {
        owner.allocate(class);
        other.allocate(class);
    }
}

model!(a_drainer_and_a_popping_owner_share_no_slot, ALL, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    while_drained(&world, || {
        owner.allocate(1);
        owner.allocate(1);
    });
    take_all(&world, 1, &owner);
});

model!(a_drainer_and_a_pushing_owner_share_no_slot, 4, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let slots = [owner.allocate(1), owner.allocate(1)];
    while_drained(&world, || {
        owner.free(1, slots[0]);
        owner.free(1, slots[1]);
    });
    take_all(&world, 1, &owner);
});

model!(a_drainer_and_an_owner_that_pops_and_pushes_share_no_slot, 3, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    while_drained(&world, || {
        owner.use_slot(1);
        owner.use_slot(1);
    });
    take_all(&world, 1, &owner);
});

model!(a_drainer_and_an_owner_that_frees_by_address_share_no_slot, 3, || {
    let world = World::new();
    let owner = with_split_magazines(&world);
    let slots = [(); 3].map(|()| owner.allocate(0));
    owner.free_by_address(0, slots[0]);
    while_drained(&world, || {
        owner.free_by_address(0, slots[1]);
        owner.allocate(0);
        owner.free_by_address(0, slots[2]);
    });
    take_all(&world, 0, &owner);
});

model!(a_free_by_address_during_a_drain_loses_no_slot, 3, || {
    let world = World::new();
    let owner = with_split_magazines(&world);
    // The loaded and the spare magazine hold one slot each, so the next free takes the fast path.
    let slots = [(); 3].map(|()| owner.allocate(0));
    owner.free_by_address(0, slots[0]);
    while_drained(&world, || owner.free_by_address(0, slots[1]));
    owner.free_by_address(0, slots[2]);
    owner.exit();
    nothing_is_lost(&world);
});

model!(a_drainer_and_an_owner_that_loads_its_spare_share_no_slot, 3, || {
    let world = World::new();
    let owner = with_split_magazines(&world);
    while_drained(&world, || {
        let slots = [(); 3].map(|()| owner.allocate(0));
        owner.free_by_address(0, slots[0]);
        owner.free(0, slots[1]);
    });
    take_all(&world, 0, &owner);
});

model!(drained_slots_reach_another_thread_and_no_two_have_one, 3, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let other = User::new(&world).begin(|user| {
        drain(&user.world);
        user.allocate(1);
        user.allocate(1);
    });
    owner.allocate(1);
    owner.allocate(1);
    owner.allocate(1);
    other.join().unwrap();
});

model!(two_drains_in_turn_leave_the_cache_to_its_owner, 2, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let drainers = [(); 2].map(|()| beside(&world, drain));
    owner.allocate(1);
    owner.use_slot(1);
    for drainer in drainers {
        drainer.join().unwrap();
    }
    take_all(&world, 1, &owner);
});

model!(a_thread_that_makes_its_cache_is_not_drained_behind_its_back, 3, || {
    let world = World::new();
    let owner = while_drained(&world, || {
        let owner = User::new(&world);
        owner.use_slot(1);
        owner.allocate(1);
        owner.allocate(1);
        owner
    });
    take_all(&world, 1, &owner);
});

model!(an_exit_during_a_drain_gives_every_slot_back_once, 3, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    while_drained(&world, || {
        owner.use_slot(1);
        owner.exit();
    });
    // After its exit the thread goes on without a cache.
    owner.use_slot(1);
    nothing_is_lost(&world);
});

model!(a_freed_only_thread_that_exits_during_a_drain_loses_nothing, 3, || {
    let world = World::new();
    let maker = User::new(&world);
    let slots = [(); 3].map(|()| maker.allocate(1));
    maker.exit();
    let freer = User::new(&world).begin(move |user| {
        user.free_all(1, slots);
        user.exit();
    });
    drain(&world);
    freer.join().unwrap();
    nothing_is_lost(&world);
});

model!(an_exiting_threads_cache_is_reused_by_a_new_thread_under_a_drainers_eyes, 3, || {
    let world = World::new();
    let owner = with_full_magazines(&world);
    let next = while_drained(&world, || {
        owner.exit();
        let next = User::new(&world);
        next.use_slot(1);
        next
    });
    next.exit();
    // The first thread left a magazine in its shard's depot. The third thread is of the same shard, and finds slots in it.
    let third = User::new(&world);
    let slots = [(); 3].map(|()| third.allocate(1));
    third.free_all(1, slots);
    third.exit();
    nothing_is_lost(&world);
});
