//! A fork, simulated: the process is not copied; the execution goes on as the parent or as the child.
//!
//! In the child the other threads must vanish. A thread that waits for a lock when the fork handlers hold all of them does
//! nothing more until it gets it, so that is where it ends: [`vanish`] unwinds it. A thread that was elsewhere at the
//! moment of the fork is let run to its next lock or its end first; that is the same as a later fork, since the forking
//! thread only waits. What this does not show are threads stopped between two steps that take no lock.
//!
//! While the handlers hold the locks, [`before_lock`]'s counterpart sees to it that nobody else takes one.
//!
//! A signal that interrupts a thread is a function that is called before or after some step of a lock, the one whose number
//! the model gave ([`interrupt_at`]).
//!
//! Locks: none. All of it is idle unless a model has called [`plan_fork`].

use super::SIM;
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What is known of the fork.
#[derive(Clone, Copy, Default)]
pub(super) struct Fork {
    planned: bool,
    stage: Stage,
    /// Other threads that wait for a lock, and that are done.
    waiting: usize,
    done: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Before,
    /// The handlers hold every lock.
    Held,
    /// In the child.
    Child,
}

/// What a thread unwinds with that the child does not have.
struct Vanished;

loom::lazy_static! {
    /// The kernel's copy of the process orders everything before it; changed wherever the fork's stage matters.
    static ref COPY: AtomicUsize = AtomicUsize::new(0);
}

/// The steps until a signal comes, and its handler.
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

/// The calling thread is going to fork: called before others are started.
pub fn plan_fork() {
    SIM.tables().fork.planned = true;
    FORKS.with(|forks| forks.set(true));
}

/// Runs what one of the other threads does, as far as it gets.
pub fn run_thread(body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body))
        && !panic.is::<Vanished>()
    {
        resume_unwind(panic);
    }
    COPY.fetch_add(1, Ordering::AcqRel);
    SIM.tables().fork.done += 1;
}

/// Between the handlers: the process is copied here. In the parent (`others` is 0) time passes; in the child the execution
/// goes on when each of the other threads has ended or waits for a lock.
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

/// Has the calling thread interrupted at its next step of a lock but `steps`, where it calls `handler`.
pub fn interrupt_at(steps: usize, handler: impl FnOnce() + 'static) {
    SIGNAL.with(|signal| *signal.borrow_mut() = Some(Signal { steps, handler: Box::new(handler) }));
}

/// Forgets a signal that has not come; whether there was one.
pub fn no_interrupt() -> bool {
    SIGNAL.with(|signal| signal.borrow_mut().take().is_some())
}

/// A step of a lock: where a signal may come.
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

pub(crate) fn before_lock() {
    if fork().planned && !forks() {
        COPY.fetch_add(1, Ordering::AcqRel);
        SIM.tables().fork.waiting += 1;
    }
}

/// Asked by whoever just got a lock: whether its thread does not exist in the child.
pub(crate) fn has_vanished() -> bool {
    let fork = fork();
    if !fork.planned || forks() {
        return false;
    }
    // Loom shall try all orders of this and the fork.
    COPY.fetch_add(1, Ordering::AcqRel);
    let fork = self::fork();
    SIM.tables().fork.waiting -= 1;
    assert!(fork.stage != Stage::Held, "sim: a lock was taken while the fork handlers should hold all of them");
    fork.stage == Stage::Child
}

/// A point between two stores without a lock: where a signal may come, and another thread's fork leave this one.
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
    // No step of loom's since the look: the fork cannot begin in between.
    SIM.tables().fork.waiting -= 1;
    if fork().stage == Stage::Child {
        vanish();
    }
}

pub(crate) fn vanish() -> ! {
    resume_unwind(Box::new(Vanished))
}
