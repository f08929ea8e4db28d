//! Tests of locks, on one thread and on several.

use super::*;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn threads_exclude_each_other() {
    static LOCK: Lock<(u64, u64)> = Lock::new(Rank::Heap, (0, 0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let mut value = LOCK.lock();
                    value.0 += 1;
                    assert_eq!(value.0, value.1 + 1);
                    value.1 += 1;
                }
            });
        }
    });
    assert_eq!(*LOCK.lock(), (80_000, 80_000));
}

#[test]
fn sleepers_are_woken_one_after_the_other() {
    static LOCK: Lock<u32> = Lock::new(Rank::Heap, 0);
    let (done, all_done) = mpsc::channel();
    let guard = LOCK.lock();
    for _ in 0..3 {
        let done = done.clone();
        thread::spawn(move || {
            *LOCK.lock() += 1;
            done.send(()).unwrap();
        });
    }
    // Time for all three to fall asleep. The test holds even if one does not.
    thread::sleep(Duration::from_millis(20));
    drop(guard);
    for _ in 0..3 {
        all_done.recv_timeout(Duration::from_secs(60)).expect("a sleeper was not woken");
    }
    assert_eq!(*LOCK.lock(), 3);
}

#[test]
fn locks_nest_in_rank_order() {
    let outer = Lock::new(Rank::Central, 1);
    let inner = Lock::new(Rank::Heap, 2);
    for _ in 0..2 {
        let a = outer.lock();
        let b = inner.lock();
        assert_eq!((*a, *b), (1, 2));
    }
}

#[test]
#[should_panic(expected = "neap: lock: took central while holding heap (order: registry, depot, ")]
fn the_wrong_order_is_refused() {
    let outer = Lock::new(Rank::Central, ());
    let inner = Lock::new(Rank::Heap, ());
    let _inner = inner.lock();
    let _outer = outer.lock();
}

#[test]
#[should_panic(expected = "neap: lock: took depot while holding depot")]
fn two_locks_of_one_rank_are_refused() {
    let (a, b) = (Lock::new(Rank::Depot, ()), Lock::new(Rank::Depot, ()));
    let _a = a.lock();
    let _b = b.lock();
}

#[test]
fn the_fork_handler_takes_all_locks_of_a_rank() {
    let locks = [const { Lock::new(Rank::Depot, ()) }; 3];
    let hold = |lock: &Lock<()>| assert_eq!(lock.hold_over_fork(), Hold::Taken);
    locks.iter().for_each(hold);
    locks.iter().for_each(Lock::unlock_in_parent);
    crate::sys::held::assert_none_held("test");
    locks.iter().for_each(hold);
    for lock in &locks {
        // SAFETY: without a fork this could only forget a sleeper, and there is none.
        unsafe { lock.unlock_in_child() };
    }
    // The locks are free again, or this would fail.
    locks.iter().for_each(hold);
    locks.iter().for_each(Lock::unlock_in_parent);
}

#[test]
fn the_fork_handler_leaves_alone_what_its_thread_holds() {
    let (depot, heap) = (Lock::new(Rank::Depot, 0), Lock::new(Rank::Heap, 0));
    // As in a signal handler that has interrupted the critical section.
    let mut interrupted = heap.lock();
    crate::lock::set_aside();
    assert_eq!((depot.hold_over_fork(), heap.hold_over_fork()), (Hold::Taken, Hold::Interrupted));
    for lock in [&depot, &heap] {
        lock.unlock_in_parent();
        // SAFETY: as above.
        unsafe { lock.unlock_in_child() };
    }
    crate::lock::take_back();
    *interrupted += 1;
    drop(interrupted);
    assert_eq!(*heap.lock(), 1);
    crate::sys::held::assert_none_held("test");
}

#[test]
fn the_fork_handler_gives_up_on_a_lock_that_does_not_come_back() {
    static STUCK: Lock<u32> = Lock::new(Rank::Heap, 0);
    let guard = STUCK.lock();
    let (gave_up, has_given_up) = std::sync::mpsc::channel();
    let waiters = [(); 2].map(|()| {
        let gave_up = gave_up.clone();
        thread::spawn(move || {
            gave_up.send(STUCK.hold_over_fork()).unwrap();
            // This thread does not hold the lock, so this has no effect.
            STUCK.unlock_in_parent();
            *STUCK.lock() += 1;
        })
    });
    // However slow the machine is, the lock does not come back before both have given up.
    assert_eq!([(); 2].map(|()| has_given_up.recv().unwrap()), [Hold::Stuck; 2]);
    drop(guard);
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(*STUCK.lock(), 2);
}

#[test]
#[should_panic(expected = "neap: lock: took depot while holding heap")]
fn the_fork_handler_keeps_the_order_of_ranks() {
    let (depot, heap) = (Lock::new(Rank::Depot, ()), Lock::new(Rank::Heap, ()));
    let _heap = heap.lock();
    let _ = depot.hold_over_fork();
}
