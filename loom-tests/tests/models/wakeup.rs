//! The scavenger's wake-up: it parks, is woken, and is started.

use crate::check::{ALL, beside, model};
use crate::world::{User, World, free_pages, use_and_free_pages, use_pages};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use neap::internals::accounts::{Parked, Wakeup};
use neap::internals::pacing::{Goal, Wake};
use neap::internals::page_heap::ReleaseOptions;
use neap::internals::units::PAGE_BYTES;
use std::sync::Arc;

const LOW: Wake = Wake { retained_bytes: PAGE_BYTES as u64, hole_bytes: u64::MAX };

/// A scavenger that has started.
fn awake(world: &World) {
    assert!(world.heap.accounts().wakeup.claim_start());
}

fn park(world: &World) {
    assert_eq!(park_for(world, None), Parked::Woken);
}

fn park_for(world: &World, patience_ns: Option<u64>) -> Parked {
    world.heap.accounts().wakeup.park(patience_ns, || world.heap.synchronized_levels())
}

model!(a_free_above_the_level_wakes_a_parking_scavenger, ALL, || {
    let world = World::new();
    awake(&world);
    world.heap.accounts().wakeup.publish(LOW, Goal::INITIAL);
    let run = use_pages(&world, 1);
    let scavenger = beside(&world, |world| {
        park(world);
        world.heap.page_heaps().scavenge(usize::MAX, ReleaseOptions::FULL).bytes
    });
    free_pages(&world, run);
    assert_eq!(scavenger.join().unwrap(), PAGE_BYTES);
    world.check_pages();
});

model!(the_last_cache_given_back_wakes_a_parking_scavenger, ALL, || {
    let world = World::new();
    awake(&world);
    let never = Wake { retained_bytes: u64::MAX, hole_bytes: u64::MAX };
    world.heap.accounts().wakeup.publish(never, Goal::INITIAL);
    let user = User::new(&world);
    user.use_slot(0);
    let scavenger = beside(&world, |world| {
        let heap = &world.heap;
        heap.accounts().wakeup.park(None, || heap.levels_before_parking(0))
    });
    user.exit();
    assert_eq!(scavenger.join().unwrap(), Parked::Woken);
});

model!(a_level_published_just_before_parking_is_not_missed, ALL, || {
    let world = World::new();
    awake(&world);
    let run = use_pages(&world, 1);
    let scavenger = beside(&world, |world| {
        world.heap.accounts().wakeup.publish(LOW, Goal::INITIAL);
        park(world);
    });
    free_pages(&world, run);
    scavenger.join().unwrap();
});

model!(a_free_in_a_shard_that_came_into_use_just_now_is_not_missed, 3, || {
    let world = World::new();
    awake(&world);
    // The first shard's thread holds the rest of its span in its magazine, so no slot is free.
    User::new(&world).allocate(1);
    let scavenger = beside(&world, |world| {
        world.heap.accounts().wakeup.publish(Wake { retained_bytes: u64::MAX, hole_bytes: 1 }, Goal::INITIAL);
        park(world);
    });
    let user = User::new(&world);
    user.use_slot(0);
    user.exit();
    scavenger.join().unwrap();
});

model!(two_frees_and_a_forced_release_never_leave_the_scavenger_asleep_above_its_level, 2, || {
    let world = World::new();
    awake(&world);
    world.heap.accounts().wakeup.publish(LOW, Goal::INITIAL);
    let run = use_pages(&world, 1);
    let scavenger = beside(&world, |world| {
        park(world);
        world.heap.page_heaps().scavenge(usize::MAX, ReleaseOptions::FULL);
    });
    let forced = beside(&world, |world| world.heap.page_heaps().scavenge(usize::MAX, ReleaseOptions::FULL));
    free_pages(&world, run);
    forced.join().unwrap();
    // Either the scavenger has been woken, or the next free wakes it.
    use_and_free_pages(&world, 1);
    scavenger.join().unwrap();
    world.check_pages();
});

model!(a_free_that_meets_an_ending_scavenger_asks_for_another, ALL, || {
    let world = World::new();
    awake(&world);
    world.heap.accounts().wakeup.publish(LOW, Goal::INITIAL);
    let run = use_pages(&world, 1);
    let scavenger = beside(&world, |world| park_for(world, Some(1)));
    free_pages(&world, run);
    let wakeup = &world.heap.accounts().wakeup;
    match scavenger.join().unwrap() {
        Parked::Woken => assert!(!wakeup.wants_thread()),
        Parked::Ended => assert!(wakeup.wants_thread() && wakeup.claim_start()),
    }
    assert_eq!(world.heap.page_heaps().scavenge(usize::MAX, ReleaseOptions::FULL).bytes, PAGE_BYTES);
});

model!(two_frees_that_meet_an_ending_scavenger_start_one, 3, || {
    let accounts = Arc::new((Wakeup::new(), AtomicUsize::new(0)));
    accounts.0.begin(0);
    assert!(accounts.0.claim_start());
    let scavenger = beside(&accounts, |(wakeup, level)| {
        wakeup.park(Some(1), || (level.load(Ordering::Relaxed) as u64 * u64::MAX, 0))
    });
    let free = |(wakeup, level): &(Wakeup, AtomicUsize)| {
        level.store(1, Ordering::Relaxed);
        wakeup.after_free(u64::MAX, 0);
        usize::from(wakeup.wants_thread() && wakeup.claim_start())
    };
    let other = beside(&accounts, free);
    let started = free(&accounts) + other.join().unwrap();
    // Neither free goes without a scavenger, though one may take the other's request.
    let ended = usize::from(scavenger.join().unwrap() == Parked::Ended);
    let still_wanted = usize::from(accounts.0.wants_thread() && accounts.0.claim_start());
    assert_eq!(started + still_wanted, ended);
});

/// The work of a scavenger, which the next scavenger finds.
struct Work(UnsafeCell<u32>);

// SAFETY: one scavenger at a time works; loom checks this.
unsafe impl Sync for Work {}

impl Work {
    fn do_some(&self) {
        // SAFETY: as above.
        self.0.with_mut(|done| unsafe { *done += 1 });
    }
}

model!(the_next_scavenger_sees_what_the_one_before_has_done, ALL, || {
    let shared = Arc::new((Wakeup::new(), Work(UnsafeCell::new(0))));
    shared.0.begin(0);
    assert!(shared.0.claim_start());
    let scavenger = beside(&shared, |(wakeup, work)| {
        work.do_some();
        wakeup.park(Some(1), || (0, 0))
    });
    let (wakeup, work) = &*shared;
    wakeup.after_free(u64::MAX, 0);
    if wakeup.claim_start() {
        work.do_some();
    }
    scavenger.join().unwrap();
});

model!(a_wake_at_shutdown_ends_every_wait, ALL, || {
    // Shutdown is a wake like any other: first the flag, then the wake. The scavenger reads the flag as a level.
    let wakeup = Arc::new(Wakeup::new());
    wakeup.begin(0);
    assert!(wakeup.claim_start());
    let stop = Arc::new(AtomicUsize::new(0));
    let scavenger = {
        let (wakeup, stop) = (Arc::clone(&wakeup), Arc::clone(&stop));
        thread::spawn(move || {
            while stop.load(Ordering::Acquire) == 0 {
                wakeup.park(None, || (stop.load(Ordering::Acquire) as u64 * u64::MAX, 0));
            }
        })
    };
    stop.store(1, Ordering::Release);
    wakeup.after_free(u64::MAX, 0);
    scavenger.join().unwrap();
});

model!(exactly_one_free_starts_the_scavenger, ALL, || {
    let wakeup = Arc::new(Wakeup::new());
    wakeup.begin(0);
    let started = Arc::new(AtomicUsize::new(0));
    let free = |wakeup: &Wakeup, started: &AtomicUsize| {
        wakeup.after_free(u64::MAX, 0);
        if wakeup.wants_thread() && wakeup.claim_start() {
            started.fetch_add(1, Ordering::Relaxed);
        }
    };
    let other = {
        let (wakeup, started) = (Arc::clone(&wakeup), Arc::clone(&started));
        thread::spawn(move || free(&wakeup, &started))
    };
    free(&wakeup, &started);
    other.join().unwrap();
    assert_eq!(started.load(Ordering::Relaxed), 1);
});

model!(a_failed_start_is_tried_again_at_the_next_free, ALL, || {
    let wakeup = Arc::new(Wakeup::new());
    wakeup.begin(0);
    let other = beside(&wakeup, |wakeup| {
        wakeup.after_free(u64::MAX, 0);
        if wakeup.claim_start() {
            wakeup.set_absent();
        }
    });
    wakeup.after_free(u64::MAX, 0);
    other.join().unwrap();
    wakeup.after_free(u64::MAX, 0);
    assert!(wakeup.wants_thread() && wakeup.claim_start());
});
