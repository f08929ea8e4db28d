//! fork: the three handlers, against threads that allocate and a scavenger. See `neap::sys::sim::process` for how the
//! child is simulated.

use crate::check::{ALL, model};
use crate::world::{User, World, free_pages, use_pages};
use loom::sync::atomic::Ordering;
use loom::thread;
use neap::heap::Effort;
use neap::sys::sim::process;
use neap::thread_cache::ThreadCache;
use std::ptr::null;
use std::sync::Arc;

fn fork(world: &World, own: *const ThreadCache, others: usize) {
    // SAFETY: null or the forking thread's own cache.
    let own = unsafe { own.as_ref() };
    world.heap.prepare_fork(own);
    process::fork_here(others);
    // SAFETY: this thread called the handler before.
    unsafe {
        if others == 0 {
            world.heap.after_fork_in_parent();
        } else {
            world.heap.after_fork_in_child(own);
        }
    }
}

fn own(user: &User) -> *const ThreadCache {
    user.slot.own.load(Ordering::Relaxed)
}

model!(a_fork_is_invisible_to_the_parents_other_threads, ALL, || {
    let world = World::new();
    process::plan_fork();
    let other = {
        let user = User::new(&world);
        thread::spawn(move || {
            process::run_thread(|| {
                let slot = user.allocate(1);
                user.free(1, slot);
                let run = use_pages(&user.world, 1);
                free_pages(&user.world, run);
                user.exit();
            });
        })
    };
    fork(&world, null(), 0);
    other.join().unwrap();
    world.heap.scavenge_everything(null());
    assert_eq!(world.heap.check_accounts().0, 0);
});

model!(a_fork_is_invisible_to_a_thread_that_begins_to_use_a_shard, 3, || {
    let world = World::new();
    process::plan_fork();
    // The first shard's: so the other thread is the second's first.
    let user = User::new(&world);
    user.allocate(1);
    let other = {
        let user = User::new(&world);
        thread::spawn(move || {
            process::run_thread(|| {
                let slot = user.allocate(1);
                user.free(1, slot);
            });
        })
    };
    fork(&world, own(&user), 0);
    other.join().unwrap();
});

/// Forks while another thread does `work` with its own cache; then the child must be able to allocate, free, scavenge and
/// fork, and be handed nothing that is held.
fn in_the_child(work: impl FnOnce(&User) + 'static) {
    let world = World::new();
    process::plan_fork();
    let user = User::new(&world);
    let slots = [user.allocate(1), user.allocate(1), user.allocate(1)];
    let other = {
        let user = User::new(&world);
        thread::spawn(move || process::run_thread(|| work(&user)))
    };
    fork(&world, own(&user), 1);
    for slot in slots {
        user.free(1, slot);
    }
    let slots = [(); 4].map(|()| user.allocate(1));
    for slot in slots {
        user.free(1, slot);
    }
    world.heap.scavenge_everything(own(&user));
    user.allocate(1);
    other.join().unwrap();
}

model!(a_child_goes_on_when_another_thread_was_allocating, 4, || in_the_child(|user| {
    let slots = [user.allocate(1), user.allocate(1), user.allocate(1)];
    user.free(1, slots[0]);
}));

model!(a_child_goes_on_when_another_thread_was_freeing_by_way_of_the_depot, 5, || {
    let world = World::new();
    process::plan_fork();
    let user = User::new(&world);
    let theirs = User::new(&world);
    // Its loaded and spare magazines are full: the next free trades one at the depot.
    let slots = [(); 6].map(|()| theirs.allocate(1));
    for slot in &slots[..4] {
        theirs.free(1, *slot);
    }
    let other = thread::spawn(move || {
        process::run_thread(|| {
            theirs.free(1, slots[4]);
            theirs.allocate(1);
        });
    });
    user.allocate(1);
    fork(&world, own(&user), 1);
    for _ in 0..8 {
        user.allocate(1);
    }
    other.join().unwrap();
});

model!(a_child_goes_on_when_another_thread_was_in_every_slow_path_of_a_free, ALL, || {
    let world = World::new();
    process::plan_fork();
    let user = User::new(&world);
    let theirs = User::new(&world);
    let slots = [(); 4].map(|()| theirs.allocate(1));
    user.allocate(1);
    let other = thread::spawn(move || {
        process::run_thread(|| {
            for slot in slots {
                theirs.free(1, slot);
            }
        });
    });
    fork(&world, own(&user), 1);
    for _ in 0..6 {
        user.allocate(1);
    }
    other.join().unwrap();
});

model!(a_child_goes_on_when_a_scavenger_was_at_work, ALL, || {
    let world = World::new();
    process::plan_fork();
    let user = User::new(&world);
    let run = use_pages(&world, 2);
    free_pages(&world, run);
    let other = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            process::run_thread(|| {
                world.heap.scavenge(usize::MAX, Effort::FULL);
            });
        })
    };
    fork(&world, own(&user), 1);
    // A chunk that the other thread had claimed is marked again.
    assert_ne!(world.heap.is_retained_chunk_marked(), Some(false), "retained pages that no scavenger will find");
    let slot = user.allocate(1);
    user.free(1, slot);
    world.heap.scavenge_everything(own(&user));
    other.join().unwrap();
});

model!(a_child_goes_on_when_its_own_cache_was_being_drained, 4, || {
    let world = World::new();
    process::plan_fork();
    let user = User::new(&world);
    let slots = [(); 4].map(|()| user.allocate(1));
    for slot in slots {
        user.free(1, slot);
    }
    let other = {
        let world = Arc::clone(&world);
        thread::spawn(move || process::run_thread(|| world.heap.drain_caches(null())))
    };
    fork(&world, own(&user), 1);
    for _ in 0..6 {
        user.allocate(1);
    }
    other.join().unwrap();
});

model!(a_child_goes_on_when_another_thread_was_exiting, ALL, || in_the_child(|user| {
    let slot = user.allocate(1);
    user.free(1, slot);
    user.exit();
}));
