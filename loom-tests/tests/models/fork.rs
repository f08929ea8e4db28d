//! fork: the three handlers, against threads that allocate and a scavenger. `neap::internals::sys::sim::process` says how the
//! child is simulated.

use crate::check::{ALL, beside, check, model};
use crate::world::{User, World, use_and_free_pages};
use loom::sync::atomic::Ordering;
use loom::thread::JoinHandle;
use neap::internals::caches::{ThreadCache, gone};
use neap::internals::lock;
use neap::internals::page_heap::ReleaseOptions;
use neap::internals::sys::sim::process;
use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Calls the three handlers as `global::fork` does. `user` forks.
fn fork(user: &User, others: usize) {
    let (heap, words) = (&user.world.heap, user.words);
    // SAFETY: null or the forking thread's own cache.
    let own = unsafe { own(user).as_ref() };
    let is_interrupted = words.inside.load(Ordering::Relaxed) != 0;
    lock::set_aside();
    while let Err(stuck) = heap.prepare_fork() {
        stuck.wait();
    }
    process::fork_here(others);
    if others == 0 {
        heap.after_fork_in_parent();
    } else {
        // SAFETY: this thread called the handler before.
        unsafe { heap.after_fork_in_child(words, own) };
        if !is_interrupted {
            recover(user);
        }
    }
    lock::take_back();
}

fn recover(user: &User) {
    // SAFETY: this is the child's only thread, and it is in no slow path.
    unsafe { user.world.heap.recover_in_child(own(user).as_ref()) };
}

fn own(user: &User) -> *const ThreadCache {
    let own = user.words.own.load(Ordering::Relaxed);
    if own == gone() { null() } else { own }
}

/// A process that will fork.
fn that_forks() -> Arc<World> {
    let world = World::new();
    process::plan_fork();
    world
}

/// Starts another thread of a process that will fork.
fn begin(user: User, work: impl FnOnce(&User) + 'static) -> JoinHandle<()> {
    user.begin(|user| process::run_thread(|| work(user)))
}

/// Starts another thread of a process that will fork. The thread has no cache.
fn begin_without_cache(world: &Arc<World>, work: fn(&World)) -> JoinHandle<()> {
    beside(world, move |world| process::run_thread(|| work(world)))
}

/// In the child: if two caches held the same slot, it would be handed out twice here.
fn allocate_many(user: &User, class: usize, slots: usize) {
    for _ in 0..slots {
        user.allocate(class);
    }
}

model!(a_fork_is_invisible_to_the_parents_other_threads, ALL, || {
    let world = that_forks();
    let other = begin(User::new(&world), |user| {
        user.use_slot(1);
        use_and_free_pages(&user.world, 1);
        user.exit();
    });
    fork(&User::new(&world), 0);
    other.join().unwrap();
    world.heap.scavenge_all(null());
    assert_eq!(world.heap.page_heaps().check_accounts().0, 0);
});

model!(a_fork_is_invisible_to_a_thread_that_begins_to_use_a_shard, 3, || {
    let world = that_forks();
    // This user is of the first shard, so the other thread is the first of the second shard.
    let user = User::new(&world);
    user.allocate(1);
    let other = begin(User::new(&world), |user| user.use_slot(1));
    fork(&user, 0);
    other.join().unwrap();
});

/// Forks while another thread, which has done `before`, does `work` with its own cache. Then the child must be able to allocate,
/// free and scavenge, and no slot that is held may be handed to it.
fn in_the_child(before: impl FnOnce(&User), work: impl FnOnce(&User) + 'static) {
    let world = that_forks();
    let user = User::new(&world);
    let slots = [user.allocate(1), user.allocate(1), user.allocate(1)];
    let theirs = User::new(&world);
    before(&theirs);
    let other = begin(theirs, work);
    fork(&user, 1);
    user.free_all(1, slots);
    let slots = [(); 4].map(|()| user.allocate(1));
    user.free_all(1, slots);
    world.heap.scavenge_all(own(&user));
    user.allocate(1);
    other.join().unwrap();
}

model!(a_child_goes_on_when_another_thread_was_allocating, 4, || {
    in_the_child(
        |_| (),
        |user| {
            let slots = [user.allocate(1), user.allocate(1), user.allocate(1)];
            user.free(1, slots[0]);
        },
    );
});

model!(a_child_takes_nothing_out_of_a_magazine_that_another_thread_was_flushing, 3, || {
    in_the_child(
        |user| {
            let slots = [user.allocate(1), user.allocate(1)];
            user.free_all(1, slots);
        },
        |user| {
            // SAFETY: the thread's own cache.
            let cache = unsafe { own(user).as_ref() }.unwrap();
            user.world.heap.caches().flush_own_cache(cache);
        },
    );
});

/// Two threads of the first shard. The slots that one gives back are handed to the other first. With a shard for each thread
/// they would hardly meet, and a slot that is free by mistake would be handed to no thread.
fn of_one_shard(world: &Arc<World>, class: usize) -> [User; 2] {
    let [first, between, second] = [(); 3].map(|()| {
        let user = User::new(world);
        user.use_slot(class);
        user
    });
    between.exit();
    [first, second]
}

model!(a_child_takes_no_slot_out_of_a_magazine_that_another_thread_was_filling, ALL, || {
    let world = that_forks();
    let [user, theirs] = of_one_shard(&world, 1);
    // The magazine's words still hold the two slots when the next allocation fills it.
    let _held = [theirs.allocate(1), theirs.allocate(1)];
    let other = begin(theirs, move |theirs| {
        theirs.allocate(1);
    });
    fork(&user, 1);
    world.heap.scavenge_all(own(&user));
    allocate_many(&user, 1, 8);
    other.join().unwrap();
});

model!(a_child_goes_on_when_another_thread_was_freeing_by_way_of_the_depot, 5, || {
    let world = that_forks();
    let [user, theirs] = of_one_shard(&world, 1);
    // The loaded and the spare magazine are full: the next free trades a magazine at the depot.
    let slots = [(); 6].map(|()| theirs.allocate(1));
    theirs.free_all(1, slots[..4].iter().copied());
    let other = begin(theirs, move |theirs| {
        theirs.free(1, slots[4]);
        theirs.allocate(1);
    });
    user.allocate(1);
    fork(&user, 1);
    allocate_many(&user, 1, 8);
    other.join().unwrap();
});

model!(a_child_goes_on_when_another_thread_was_exchanging_its_magazines, ALL, || {
    let world = that_forks();
    let [user, theirs] = of_one_shard(&world, 0);
    let slots = [(); 4].map(|()| theirs.allocate(0));
    // Two slots go onto the spare magazine; the loaded magazine is empty.
    theirs.free_by_address(0, slots[0]);
    theirs.free_by_address(0, slots[1]);
    let other = begin(theirs, move |theirs| {
        theirs.allocate(0);
        theirs.allocate(0);
        theirs.free_by_address(0, slots[2]);
    });
    fork(&user, 1);
    allocate_many(&user, 0, 8);
    world.heap.scavenge_all(own(&user));
    other.join().unwrap();
});

model!(a_child_goes_on_when_another_thread_was_in_every_slow_path_of_a_free, ALL, || {
    let world = that_forks();
    let user = User::new(&world);
    let theirs = User::new(&world);
    let slots = [(); 4].map(|()| theirs.allocate(1));
    user.allocate(1);
    let other = begin(theirs, move |theirs| {
        theirs.free_all(1, slots);
    });
    fork(&user, 1);
    allocate_many(&user, 1, 6);
    other.join().unwrap();
});

model!(a_child_goes_on_when_a_scavenger_was_at_work, ALL, || {
    let world = that_forks();
    let user = User::new(&world);
    use_and_free_pages(&world, 2);
    let other =
        begin_without_cache(&world, |world| _ = world.heap.page_heaps().scavenge(usize::MAX, ReleaseOptions::FULL));
    fork(&user, 1);
    // A chunk that the other thread had claimed is marked again.
    assert_ne!(
        world.heap.page_heaps().is_retained_chunk_marked(),
        Some(false),
        "retained pages that no scavenger will find"
    );
    user.use_slot(1);
    world.heap.scavenge_all(own(&user));
    other.join().unwrap();
});

model!(a_child_goes_on_when_its_own_cache_was_being_drained, 4, || {
    let world = that_forks();
    let user = User::new(&world);
    let slots = [(); 4].map(|()| user.allocate(1));
    user.free_all(1, slots);
    let other = begin_without_cache(&world, |world| world.heap.caches().drain(null()));
    fork(&user, 1);
    allocate_many(&user, 1, 6);
    other.join().unwrap();
});

model!(a_child_goes_on_when_another_thread_was_exiting, ALL, || {
    in_the_child(
        |user| {
            user.use_slot(1);
        },
        User::exit,
    );
});

/// The work of a thread in a model.
type Work = fn(&User);

/// A signal's handler forks at a step of `work`, while another thread does `theirs`. `work` goes on when the handler returns, in
/// the parent or in the child (`others` is 1). Then the child recovers, and all operations must work. Returns whether the
/// signal came.
fn interrupted(step: usize, others: usize, work: Work, theirs: Work) -> bool {
    let world = that_forks();
    let user = User::new(&world);
    let slots = [user.allocate(1), user.allocate(1), user.allocate(1)];
    let other = begin(User::new(&world), theirs);
    user.words.inside.store(1, Ordering::Relaxed);
    let handler = User { world: Arc::clone(&world), words: user.words };
    process::interrupt_at(step, move || fork(&handler, others));
    work(&user);
    user.words.inside.store(0, Ordering::Relaxed);
    let came = !process::no_interrupt();
    if !came {
        fork(&user, others);
    } else if others != 0 {
        recover(&user);
    }
    user.free_all(1, slots);
    let slots = [(); 4].map(|()| user.allocate(1));
    user.free_all(1, slots);
    world.heap.scavenge_all(own(&user));
    other.join().unwrap();
    user.exit();
    world.heap.scavenge_all(null());
    world.heap.page_heaps().check_accounts();
    came
}

/// Makes the signal come at each step of the locks in turn, in the parent and in the child.
fn at_each_step(name: &str, preemptions: usize, work: Work, theirs: Work) {
    for others in [0, 1] {
        for step in 0.. {
            let came = Arc::new(AtomicBool::new(false));
            let noted = Arc::clone(&came);
            check(&format!("{name}, child {others}, step {step}"), preemptions, move || {
                noted.fetch_or(interrupted(step, others, work, theirs), Relaxed);
            });
            if !came.load(Relaxed) {
                assert!(step > 3, "no step of a lock was interrupted");
                break;
            }
        }
    }
}

/// The user has one slot in its magazine: so there is an allocation without a lock, a refill, and an allocation of its slot.
fn allocate_and_free(user: &User) {
    let slots = [(); 3].map(|()| user.allocate(1));
    user.free_all(1, slots);
    use_and_free_pages(&user.world, 1);
}

fn drain_everybody(user: &User) {
    user.world.heap.caches().drain(null());
}

#[test]
fn a_signal_forks_in_the_middle_of_allocations() {
    at_each_step("allocations", 1, allocate_and_free, |user| {
        user.use_slot(1);
    });
}

#[test]
fn a_signal_forks_in_the_middle_of_an_allocation_whose_thread_is_drained() {
    at_each_step("drained", 1, allocate_and_free, drain_everybody);
}

/// The work of another thread beside a drain. It needs no cache: a thread that waits for the drainer takes no step of a lock, and
/// the simulation can end a thread only at such a step.
fn take_pages(user: &User) {
    use_and_free_pages(&user.world, 1);
}

#[test]
fn a_signal_forks_in_the_middle_of_a_drain() {
    at_each_step("drain", 1, drain_everybody, take_pages);
}

#[test]
fn a_signal_forks_in_the_middle_of_a_release() {
    at_each_step("release", 1, |user| _ = user.world.heap.scavenge_all(null()), take_pages);
}

#[test]
fn a_signal_forks_in_the_middle_of_an_exit() {
    at_each_step("exit", 1, User::exit, drain_everybody);
}
