//! How a free wakes the scavenger, and how the scavenger parks without a timer.
//!
//! The scavenger publishes its wake-up levels: with this much free memory it has work. Frees compare the current levels
//! with them on their slow paths. A free wakes a parked scavenger once. If there is no scavenger, a free asks for one
//! (`wants_thread`), and the outermost function starts the thread outside every lock.
//!
//! C's frees may not start the scavenger: the C library makes some frees under locks that the start of a thread needs.
//! There an allocation asks for the scavenger ahead of the frees, once enough is in use for frees to reach a wake-up level
//! (`ask_ahead`).
//!
//! No wake-up is lost: the scavenger announces that it parks, then looks at the levels once more. A free raises a level,
//! then looks for the announcement. A full fence on each side makes sure that one of the two sees the other (Dekker). The
//! fences do not make sure that a free compares with the wake-up levels published last: `Heap::synchronized_levels` does.
//! Some flushes do not compare at all, so a parked scavenger may sleep with a level up to 1 MiB above its wake-up level
//! (see `counters`).
//!
//! Orderings: the fences order the state and the levels. The AcqRel, Release and Acquire accesses of the state pair with
//! each other: a thread that finds the scavenger awake or absent sees what the scavenger published before. Levels, goals
//! and the request for a thread are Relaxed: each stands for itself, and the fences and the locks find what a Relaxed read
//! misses (models: `wakeup.rs`).
//!
//! Locks: none, and a wake is made with none held.

use crate::lock::Futex;
use crate::pacing::{Goal, Wake};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::const_unless_loom;

/// No scavenger was started, or it is gone (after a fork).
const ABSENT: u32 = 0;
/// The scavenger is at work, or sleeps with a timer.
const AWAKE: u32 = 1;
/// The scavenger waits without a timer.
const PARKED: u32 = 2;

/// See the module's header.
pub struct Wakeup {
    state: Futex,
    wants_thread: AtomicU32,
    wake_retained_bytes: AtomicU64,
    wake_hole_bytes: AtomicU64,
    goal_retained_bytes: AtomicU64,
    goal_backed_bytes: AtomicU64,
    /// The bytes in use at which an allocation asks for the scavenger; all ones once an allocation has asked.
    ask_ahead_bytes: AtomicU64,
}

impl Wakeup {
    const_unless_loom! {
        /// All zero: there is no thread. The caller calls [`Wakeup::begin`] before anything else.
        pub fn new() -> Self {
            Self {
                state: Futex::new(ABSENT),
                wants_thread: AtomicU32::new(0),
                wake_retained_bytes: AtomicU64::new(0),
                wake_hole_bytes: AtomicU64::new(0),
                goal_retained_bytes: AtomicU64::new(0),
                goal_backed_bytes: AtomicU64::new(0),
                ask_ahead_bytes: AtomicU64::new(0),
            }
        }
    }

    /// Publishes the policy's wake-up levels and its goal for growth.
    pub fn publish(&self, wake: Wake, goal: Goal) {
        self.wake_retained_bytes.store(wake.retained_bytes, Ordering::Relaxed);
        self.wake_hole_bytes.store(wake.hole_bytes, Ordering::Relaxed);
        self.goal_retained_bytes.store(goal.retained_bytes, Ordering::Relaxed);
        self.goal_backed_bytes.store(goal.backed_bytes, Ordering::Relaxed);
    }

    /// The policy's goal for growth.
    pub fn goal(&self) -> Goal {
        Goal {
            retained_bytes: self.goal_retained_bytes.load(Ordering::Relaxed),
            backed_bytes: self.goal_backed_bytes.load(Ordering::Relaxed),
        }
    }

    fn is_due(&self, retained_bytes: u64, hole_bytes: u64) -> bool {
        let wake = Wake {
            retained_bytes: self.wake_retained_bytes.load(Ordering::Relaxed),
            hole_bytes: self.wake_hole_bytes.load(Ordering::Relaxed),
        };
        wake.is_due(retained_bytes, hole_bytes)
    }

    /// Wakes the scavenger, or asks for one, if there is work for it. Called after a free, which has raised the levels.
    #[inline]
    pub fn after_free(&self, retained_bytes: u64, hole_bytes: u64) {
        if self.is_due(retained_bytes, hole_bytes) {
            self.wake_or_ask();
        }
    }

    #[cold]
    fn wake_or_ask(&self) {
        // Pairs with the fence in `park`.
        fence(Ordering::SeqCst);
        match self.state.word().load(Ordering::Relaxed) {
            PARKED => self.wake(),
            ABSENT => self.wants_thread.store(1, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Wakes a parked scavenger.
    pub fn wake(&self) {
        if self.state.word().compare_exchange(PARKED, AWAKE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.state.wake(1);
        }
    }

    /// Whether somebody should start the scavenger. Each slow path looks at its end, so the look is cheap.
    #[inline]
    pub fn wants_thread(&self) -> bool {
        self.wants_thread.load(Ordering::Relaxed) != 0
    }

    /// Asks for the scavenger after an allocation, if enough is in use for frees to reach a wake-up level: perhaps only
    /// frees are still to come. It asks once only, whoever takes the request.
    #[cfg(serves_c)]
    #[inline]
    pub fn ask_ahead(&self, in_use_bytes: u64) {
        if in_use_bytes >= self.ask_ahead_bytes.load(Ordering::Relaxed) {
            self.ask_ahead_bytes.store(u64::MAX, Ordering::Relaxed);
            self.wake_or_ask();
        }
    }

    /// Takes the request: the caller starts the scavenger. `false` if somebody else starts it.
    pub fn claim_start(&self) -> bool {
        self.wants_thread.store(0, Ordering::Relaxed);
        self.state.word().compare_exchange(ABSENT, AWAKE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes the request without starting a thread: the caller does the work.
    pub fn acknowledge(&self) {
        self.wants_thread.store(0, Ordering::Relaxed);
    }

    /// Makes a request without a free.
    pub fn request(&self) {
        self.wants_thread.store(1, Ordering::Relaxed);
    }

    /// Notes that there is no thread: the start has failed.
    pub fn set_absent(&self) {
        self.wants_thread.store(0, Ordering::Relaxed);
        self.state.word().store(ABSENT, Ordering::Release);
    }

    /// Begins without a scavenger, in a new process or in the child of a fork. `in_use_bytes` are in use.
    pub fn begin(&self, in_use_bytes: u64) {
        self.set_absent();
        self.publish(Wake::INITIAL, Goal::INITIAL);
        let ahead = in_use_bytes.saturating_add(Wake::INITIAL.retained_bytes);
        self.ask_ahead_bytes.store(ahead, Ordering::Relaxed);
    }

    /// Waits until a free finds work for the scavenger, which calls this. `levels` reads the current levels in the way of
    /// `Heap::synchronized_levels`.
    pub fn park(&self, levels: impl FnOnce() -> (u64, u64)) {
        self.state.word().store(PARKED, Ordering::Release);
        // Pairs with the fence in `wake_or_ask`: either that free sees PARKED, or this look sees its level.
        fence(Ordering::SeqCst);
        let (retained, holes) = levels();
        if self.is_due(retained, holes) {
            self.state.word().store(AWAKE, Ordering::Relaxed);
            return;
        }
        while self.state.word().load(Ordering::Acquire) == PARKED {
            self.state.wait(PARKED, None);
        }
    }

    /// Sleeps for `ns`. Nothing wakes the scavenger earlier.
    pub fn sleep(&self, ns: u64) {
        self.state.wait(AWAKE, Some(ns));
    }
}
