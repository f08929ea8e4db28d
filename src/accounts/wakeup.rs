//! The alarm: how frees wake the scavenger, and how it parks without a timer.
//!
//! The scavenger publishes the levels of free memory from which on it has work. Frees compare with them on their slow
//! paths. A parked scavenger is woken once; one that was never started is asked for (`wants_thread`), and whoever is at the
//! outermost level, outside every lock, starts it.
//!
//! C's frees may not start it: the C library makes some of them under locks that starting a thread needs. There it is
//! asked for ahead of them, by the allocation with which so much is in use that frees could ring (`ask_ahead`).
//!
//! No wake-up is lost: the scavenger announces that it parks, then looks at the levels once more; a free raises the level,
//! then looks for the announcement. A full fence on each side makes sure that one of them sees the other (Dekker). That
//! a free compares with the levels published last is not the fences' doing: see `Heap::synchronized_levels`. Not each flush
//! looks, though: a parked scavenger may sleep with a level up to 1 MiB above its wake-up (see `counters`), no more.
//!
//! Orderings: the state is what the fences are about. Its AcqRel, Release and Acquire pair with each other: who finds the
//! scavenger awake or gone sees what it published before. Levels, goals and the request for a thread are Relaxed: each
//! stands for itself, and what they miss the fences and the locks find (models: `wakeup.rs`).
//!
//! Locks: none; wakes are made with none held.

use crate::lock::Futex;
use crate::pacing::{Goal, Wake};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::const_unless_loom;

/// No scavenger was started, or it is gone (after a fork).
const ABSENT: u32 = 0;
/// It is at work, or sleeps with a timer.
const AWAKE: u32 = 1;
/// It waits without a timer.
const PARKED: u32 = 2;

/// See the module's header.
pub struct Wakeup {
    state: Futex,
    wants_thread: AtomicU32,
    wake_retained_bytes: AtomicU64,
    wake_hole_bytes: AtomicU64,
    goal_retained_bytes: AtomicU64,
    goal_backed_bytes: AtomicU64,
    /// With so much in use the scavenger is asked for ahead of the frees; all ones once that is done.
    ask_ahead_bytes: AtomicU64,
}

impl Wakeup {
    const_unless_loom! {
        /// All zero: no thread; [`Wakeup::begin`] comes before anything else.
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

    /// Publishes the policy's answer.
    pub fn publish(&self, wake: Wake, goal: Goal) {
        self.wake_retained_bytes.store(wake.retained_bytes, Ordering::Relaxed);
        self.wake_hole_bytes.store(wake.hole_bytes, Ordering::Relaxed);
        self.goal_retained_bytes.store(goal.retained_bytes, Ordering::Relaxed);
        self.goal_backed_bytes.store(goal.backed_bytes, Ordering::Relaxed);
    }

    /// The goal for growth.
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

    /// After a free: wakes the scavenger, or asks for one, if there is work for it. The caller has raised the levels.
    #[inline]
    pub fn after_free(&self, retained_bytes: u64, hole_bytes: u64) {
        if self.is_due(retained_bytes, hole_bytes) {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
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

    /// Whether somebody should start the scavenger. Cheap: asked at the end of slow paths.
    #[inline]
    pub fn wants_thread(&self) -> bool {
        self.wants_thread.load(Ordering::Relaxed) != 0
    }

    /// After an allocation: asks for the scavenger while only frees are still to come, if there is enough in use for them
    /// to ring. Once only, whoever takes the request.
    #[cfg(serves_c)]
    #[inline]
    pub fn ask_ahead(&self, in_use_bytes: u64) {
        if in_use_bytes >= self.ask_ahead_bytes.load(Ordering::Relaxed) {
            self.ask_ahead_bytes.store(u64::MAX, Ordering::Relaxed);
            self.ring();
        }
    }

    /// Takes it upon the caller to start the scavenger; `false` if somebody else does.
    pub fn claim_start(&self) -> bool {
        self.wants_thread.store(0, Ordering::Relaxed);
        self.state.word().compare_exchange(ABSENT, AWAKE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes a request for work without starting a thread.
    pub fn acknowledge(&self) {
        self.wants_thread.store(0, Ordering::Relaxed);
    }

    /// Asks for work without a free.
    pub fn request(&self) {
        self.wants_thread.store(1, Ordering::Relaxed);
    }

    /// The thread could not be started.
    pub fn set_absent(&self) {
        self.wants_thread.store(0, Ordering::Relaxed);
        self.state.word().store(ABSENT, Ordering::Release);
    }

    /// There is no scavenger: a process has just begun, or is the child of a fork with so much in use.
    pub fn begin(&self, in_use_bytes: u64) {
        self.set_absent();
        self.publish(Wake::INITIAL, Goal::INITIAL);
        let ahead = in_use_bytes.saturating_add(Wake::INITIAL.retained_bytes);
        self.ask_ahead_bytes.store(ahead, Ordering::Relaxed);
    }

    /// The scavenger waits until a free finds work for it. `levels` reads the current levels, as
    /// `Heap::synchronized_levels` does.
    pub fn park(&self, levels: impl FnOnce() -> (u64, u64)) {
        self.state.word().store(PARKED, Ordering::Release);
        // Pairs with the fence in `ring`: either that free sees PARKED, or this look sees its level.
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

    /// The scavenger sleeps for a while; nothing wakes it earlier.
    pub fn sleep(&self, ns: u64) {
        self.state.wait(AWAKE, Some(ns));
    }
}
