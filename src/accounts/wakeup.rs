//! How a free wakes the scavenger, how the scavenger parks, and how it ends after a while without work.
//!
//! The scavenger publishes its wake-up levels: with this much free memory it has work. Frees compare the current levels
//! with them on their slow paths. A free wakes a parked scavenger once. If there is no scavenger, a free asks for one
//! (`wants_thread`), and the outermost function starts the thread outside every lock.
//!
//! C's frees may not start the scavenger: the C library makes some frees under locks that the start of a thread needs.
//! There an allocation asks for the scavenger ahead of the frees, once enough is in use for frees to reach a wake-up level
//! (`ask_ahead`), and the scavenger does not end before less is in use.
//!
//! No wake-up is lost: the scavenger announces that it parks, then looks at the levels once more. A free raises a level,
//! then looks for the announcement. A full fence on each side makes sure that one of the two sees the other (Dekker). A
//! parked scavenger that ends exchanges the announcement, so either the scavenger or the free that wakes it wins. A free
//! that loses finds no scavenger and asks for one. The fences do not make sure that a free compares with the wake-up
//! levels published last: `Heap::synchronized_levels` does. Some flushes do not compare at all, so a parked scavenger may
//! sleep with a level up to 1 MiB above its wake-up level (see `counters`).
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

/// No scavenger was started, or it has ended, or the process is the child of a fork.
const ABSENT: u32 = 0;
/// The scavenger is at work, or sleeps with a timer.
const AWAKE: u32 = 1;
/// The scavenger waits for a wake-up.
const PARKED: u32 = 2;

/// What became of a parked scavenger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parked {
    /// There is work for it.
    Woken,
    /// Nothing came: there is no scavenger any more, and another thread may start the next at once.
    Ended,
}

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
        let found = match self.state.word().load(Ordering::Relaxed) {
            PARKED => self.wake(),
            found => found,
        };
        if found == ABSENT {
            self.wants_thread.store(1, Ordering::Relaxed);
        }
    }

    /// Wakes a parked scavenger; what the state was.
    fn wake(&self) -> u32 {
        match self.state.word().compare_exchange(PARKED, AWAKE, Ordering::AcqRel, Ordering::Acquire) {
            Ok(found) => {
                self.state.wake(1);
                found
            }
            // Another free was faster, or the scavenger has ended.
            Err(found) => found,
        }
    }

    /// Has the scavenger look at the process now, parked or asleep.
    pub fn wake_now(&self) {
        if self.wake() == AWAKE {
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
        self.state.word().compare_exchange(ABSENT, AWAKE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Takes the request without starting a thread: the caller does the work.
    pub fn acknowledge(&self) {
        self.wants_thread.store(0, Ordering::Relaxed);
    }

    /// Makes a request without a free.
    pub fn request(&self) {
        self.wants_thread.store(1, Ordering::Relaxed);
    }

    /// Notes that there is no thread: the start has failed. Allocations may ask for a thread ahead of frees again.
    pub fn set_absent(&self) {
        self.wants_thread.store(0, Ordering::Relaxed);
        self.ask_ahead_bytes.store(Wake::INITIAL.retained_bytes, Ordering::Relaxed);
        self.state.word().store(ABSENT, Ordering::Release);
    }

    /// Begins without a scavenger, in a new process or in the child of a fork. `in_use_bytes` are in use.
    pub fn begin(&self, in_use_bytes: u64) {
        self.set_absent();
        self.publish(Wake::INITIAL, Goal::INITIAL);
        let ahead = in_use_bytes.saturating_add(Wake::INITIAL.retained_bytes);
        self.ask_ahead_bytes.store(ahead, Ordering::Relaxed);
    }

    /// The bytes in use below which no frees can reach a wake-up level that the levels have not reached yet; `None` where less
    /// or as much is in use.
    #[cfg(serves_c)]
    pub fn out_of_reach(&self, retained_bytes: u64, hole_bytes: u64, in_use_bytes: u64) -> Option<u64> {
        let retained = self.wake_retained_bytes.load(Ordering::Relaxed).saturating_sub(retained_bytes);
        let holes = self.wake_hole_bytes.load(Ordering::Relaxed).saturating_sub(hole_bytes);
        Some(retained.min(holes)).filter(|bytes| in_use_bytes < *bytes)
    }

    /// Has an allocation ask for the scavenger once so much is in use.
    #[cfg(serves_c)]
    pub fn set_ask_ahead(&self, in_use_bytes: u64) {
        self.ask_ahead_bytes.store(in_use_bytes, Ordering::Relaxed);
    }

    /// Waits until a free finds work for the scavenger, which calls this; for `patience_ns` at most, if given. `levels` reads
    /// the current levels in the way of `Heap::synchronized_levels`.
    pub fn park(&self, patience_ns: Option<u64>, levels: impl FnOnce() -> (u64, u64)) -> Parked {
        self.state.word().store(PARKED, Ordering::Release);
        // Pairs with the fence in `wake_or_ask`: either that free sees PARKED, or this look sees its level.
        fence(Ordering::SeqCst);
        let (retained, holes) = levels();
        if self.is_due(retained, holes) {
            self.state.word().store(AWAKE, Ordering::Relaxed);
            return Parked::Woken;
        }
        while self.state.word().load(Ordering::Acquire) == PARKED {
            self.state.wait(PARKED, patience_ns);
            // The wait may have been shorter. Then the scavenger ends earlier, and is started again when it is needed.
            if patience_ns.is_some()
                && self.state.word().compare_exchange(PARKED, ABSENT, Ordering::AcqRel, Ordering::Acquire).is_ok()
            {
                return Parked::Ended;
            }
        }
        Parked::Woken
    }

    /// Sleeps for `ns`, or until [`Wakeup::wake_now`].
    pub fn sleep(&self, ns: u64) {
        self.state.wait(AWAKE, Some(ns));
    }
}
