//! A fork, simulated: the execution goes on as the parent or as the child, without a copy of the process.
//!
//! In the child the other threads must vanish. The handlers hold all locks, so a thread that waits for a lock does
//! nothing until it gets the lock: that is the place where it ends, and [`vanish`] unwinds it. A thread that is
//! elsewhere at the moment of the fork runs to its next lock or to its end first. This equals a later fork, because the
//! forking thread only waits. The simulation does not show threads that stop between two steps without a lock.
//!
//! While the handlers hold the locks, [`has_vanished`] checks that no other thread takes a lock.
//!
//! A signal that interrupts a thread is a function call before or after one step of a lock. The model gives the number
//! of the step ([`interrupt_at`]).
//!
//! Locks: none. All of this is idle unless a model calls [`plan_fork`] or [`interrupt_at`].

use super::SIM;
use super::fork::{Fork, Stage};
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The panic value of a thread that the child does not have.
struct Vanished;

loom::lazy_static! {
    /// The kernel's copy of the process, which orders everything before it: changed wherever the stage of the fork
    /// matters.
    static ref COPY: AtomicUsize = AtomicUsize::new(0);
}

/// A signal: the number of steps until it comes, and its handler.
struct Signal {
    steps: usize,
    handler: Box<dyn FnOnce()>,
}

loom::thread_local! {
    static SIGNAL: core::cell::RefCell<Option<Signal>> = core::cell::RefCell::new(None);
    static FORKS: core::cell::Cell<bool> = core::cell::Cell::new(false);
}

fn forks() -> bool {
    FORKS.try_with(core::cell::Cell::get).unwrap_or(true)
}

fn fork() -> Fork {
    SIM.tables().fork
}

/// Says that the calling thread is going to fork. The model calls this before it starts other threads.
pub fn plan_fork() {
    SIM.tables().fork.planned = true;
    FORKS.with(|forks| forks.set(true));
}

/// Runs the body of another thread, until its end or until the thread vanishes.
pub fn run_thread(body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body))
        && !panic.is::<Vanished>()
    {
        resume_unwind(panic);
    }
    COPY.fetch_add(1, Ordering::AcqRel);
    SIM.tables().fork.done += 1;
}

/// The fork, between the handlers. In the parent (`others` is 0) only time passes. In the child the execution goes on
/// when each of the other threads has ended or waits for a lock.
pub fn fork_here(others: usize) {
    COPY.fetch_add(1, Ordering::AcqRel);
    SIM.tables().fork.stage = Stage::Held;
    loom::thread::yield_now();
    loop {
        let fork = fork();
        if fork.waiting + fork.done >= others {
            break;
        }
        loom::thread::yield_now();
    }
    COPY.fetch_add(1, Ordering::AcqRel);
    SIM.tables().fork.stage = if others == 0 { Stage::Before } else { Stage::Child };
}

/// Makes the calling thread call `handler` at a step of a lock, after `steps` other steps.
pub fn interrupt_at(steps: usize, handler: impl FnOnce() + 'static) {
    SIGNAL.with(|signal| *signal.borrow_mut() = Some(Signal { steps, handler: Box::new(handler) }));
}

/// Forgets a signal that has not come. Whether there was one.
pub fn no_interrupt() -> bool {
    SIGNAL.with(|signal| signal.borrow_mut().take().is_some())
}

/// A step of a lock, where a signal may come.
pub(crate) fn may_be_interrupted() {
    let signal = SIGNAL.try_with(|signal| {
        let mut signal = signal.borrow_mut();
        match &mut *signal {
            Some(Signal { steps: 0, .. }) => signal.take(),
            Some(signal) => {
                signal.steps -= 1;
                None
            }
            None => None,
        }
    });
    if let Ok(Some(signal)) = signal {
        (signal.handler)();
    }
}

/// The calling thread is about to wait for a lock.
pub(crate) fn before_lock() {
    if fork().planned && !forks() {
        COPY.fetch_add(1, Ordering::AcqRel);
        SIM.tables().fork.waiting += 1;
    }
}

/// Whether the calling thread, which just got a lock, does not exist in the child.
pub(crate) fn has_vanished() -> bool {
    let fork = fork();
    if !fork.planned || forks() {
        return false;
    }
    // Loom must try all orders of this and the fork.
    COPY.fetch_add(1, Ordering::AcqRel);
    let fork = self::fork();
    SIM.tables().fork.waiting -= 1;
    assert!(fork.stage != Stage::Held, "sim: a lock was taken while the fork handlers should hold all of them");
    fork.stage == Stage::Child
}

/// A point between two stores without a lock. A signal may come here, and the child of another thread's fork may lack
/// this thread from here on.
pub(crate) fn between_stores() {
    may_be_interrupted();
    if !fork().planned || forks() {
        return;
    }
    before_lock();
    while fork().stage == Stage::Held {
        loom::thread::yield_now();
        COPY.fetch_add(1, Ordering::AcqRel);
    }
    // Loom has not switched threads since the loop's last check, so the fork has not begun.
    SIM.tables().fork.waiting -= 1;
    if fork().stage == Stage::Child {
        vanish();
    }
}

/// Ends the calling thread, which the child does not have.
pub(crate) fn vanish() -> ! {
    resume_unwind(Box::new(Vanished))
}
