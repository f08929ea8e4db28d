//! Models of the futex mutex: mutual exclusion, no lost wake-up, and ranks under loom.
//!
//! Loom reports a lost wake-up as a deadlock. It reports an overlap of two critical sections, or a missing ordering between
//! them, as a race on the cell.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use neap::internals::lock::{Hold, Lock, Rank, RawMutex};

struct Guarded {
    mutex: RawMutex,
    count: UnsafeCell<usize>,
}

// SAFETY: the count is only touched between lock and unlock. The models check that this is enough.
unsafe impl Sync for Guarded {}
// SAFETY: a number may be moved.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self { mutex: RawMutex::new(), count: UnsafeCell::new(0) })
    }

    /// Adds one with the mutex held.
    fn add(&self) {
        self.mutex.lock();
        self.add_locked();
    }

    /// Adds one as a fork handler would. Returns whether it got the mutex.
    fn add_over_fork(&self) -> bool {
        let hold = self.mutex.hold_over_fork();
        assert_ne!(hold, Hold::Interrupted, "this thread does not hold it");
        assert_eq!(hold == Hold::Taken, self.mutex.is_held_over_fork());
        if hold == Hold::Taken {
            self.add_locked();
        }
        hold == Hold::Taken
    }

    fn add_locked(&self) {
        // SAFETY: the mutex is held; loom checks that the access is exclusive.
        self.count.with_mut(|count| unsafe { *count += 1 });
        // SAFETY: this thread holds the mutex.
        unsafe { self.mutex.unlock() };
    }

    fn count(&self) -> usize {
        self.mutex.lock();
        // SAFETY: the mutex is held.
        let count = self.count.with(|count| unsafe { *count });
        // SAFETY: this thread holds the mutex.
        unsafe { self.mutex.unlock() };
        count
    }
}

/// Starts another thread, which adds one `times` times.
fn add_beside(guarded: &Arc<Guarded>, times: usize) -> JoinHandle<()> {
    let guarded = Arc::clone(guarded);
    thread::spawn(move || (0..times).for_each(|_| guarded.add()))
}

/// `others` threads and the first thread add one, `times` times each.
fn adders(others: usize, times: usize) {
    let guarded = Guarded::new();
    let threads: Vec<_> = (0..others).map(|_| add_beside(&guarded, times)).collect();
    (0..times).for_each(|_| guarded.add());
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(guarded.count(), (others + 1) * times);
}

/// Tries all schedules with at most `preemptions` preemptions. Without a bound the two larger models take too long. Two
/// preemptions are enough to find a missing wake-up, a wake-up that reaches no thread, a relaxed unlock, a relaxed swap and a
/// wait for the wrong state; each fault was tried.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn two_threads_exclude_each_other() {
    loom::model(|| adders(1, 1));
}

#[test]
fn two_threads_come_back_and_none_sleeps_for_ever() {
    check(4, || adders(1, 2));
}

#[test]
fn three_threads_exclude_each_other_and_none_sleeps_for_ever() {
    check(3, || adders(2, 1));
}

#[test]
fn a_fork_handler_that_gives_up_leaves_nobody_asleep() {
    check(3, || {
        let guarded = Guarded::new();
        let others = [(); 2].map(|()| add_beside(&guarded, 1));
        let added = usize::from(guarded.add_over_fork());
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(guarded.count(), 2 + added);
    });
}

#[test]
fn a_fork_handler_knows_what_its_thread_holds() {
    loom::model(|| {
        let guarded = Guarded::new();
        let other = add_beside(&guarded, 1);
        guarded.mutex.lock();
        // A waiter's mark on the lock's word does not hide the owner.
        assert_eq!(guarded.mutex.hold_over_fork(), Hold::Interrupted);
        assert!(!guarded.mutex.is_held_over_fork());
        guarded.add_locked();
        other.join().unwrap();
        assert_eq!(guarded.count(), 2);
    });
}

#[test]
fn a_lock_guards_its_value() {
    loom::model(|| {
        let lock = Arc::new(Lock::new(Rank::Heap, 0));
        let other = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || *lock.lock() += 1)
        };
        *lock.lock() += 1;
        other.join().unwrap();
        assert_eq!(*lock.lock(), 2);
    });
}

#[test]
fn ranks_belong_to_threads() {
    loom::model(|| {
        let central = Arc::new(Lock::new(Rank::Central, ()));
        let heap = Lock::new(Rank::Heap, ());
        let _heap = heap.lock();
        // Another thread holds no lock, whatever this thread holds.
        let other = {
            let central = Arc::clone(&central);
            thread::spawn(move || drop(central.lock()))
        };
        other.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "neap: lock: took central while holding heap")]
fn the_wrong_order_is_refused() {
    loom::model(|| {
        let (central, heap) = (Lock::new(Rank::Central, ()), Lock::new(Rank::Heap, ()));
        let _heap = heap.lock();
        let _central = central.lock();
    });
}
