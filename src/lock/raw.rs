//! The mutex algorithm: one futex word with three states.
//!
//! UNLOCKED -> LOCKED by the fast path; a waiter makes it CONTENDED before it sleeps, and whoever unlocks a CONTENDED
//! word wakes one sleeper. A woken waiter takes the lock as CONTENDED, since it cannot know whether others still sleep:
//! one wake-up too many at the end of a queue, none too few.
//!
//! Invariants (modelled in loom-tests/tests/lock.rs): (1) at most one thread is between lock and unlock; (2) while a
//! thread sleeps, the word is CONTENDED or its unlocker has yet to wake one sleeper.
//!
//! Orderings: whoever takes the word does so with Acquire, and reads what the last owner stored with Release; a waiter's
//! look is Relaxed, for it takes nothing.
//!
//! A waiter spins only while the word is LOCKED: CONTENDED means that somebody found spinning useless already. With one
//! processor it never spins.

use crate::sync::Futex;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{const_unless_loom, spin_loop};

const UNLOCKED: u32 = 0;
const LOCKED: u32 = 1;
const CONTENDED: u32 = 2;

/// A mutex without a value or a rank: the words of [`super::Lock`].
#[derive(Debug)]
pub struct RawMutex {
    futex: Futex,
}

impl RawMutex {
    const_unless_loom! {
        /// An unlocked mutex.
        #[inline]
        pub fn new() -> Self {
            Self { futex: Futex::new(UNLOCKED) }
        }
    }

    /// Takes the mutex, sleeping until it is free.
    #[inline]
    pub fn lock(&self) {
        if self.futex.word().compare_exchange(UNLOCKED, LOCKED, Acquire, Relaxed).is_err() {
            self.lock_contended();
        }
    }

    /// Takes the mutex if it is free.
    #[inline]
    #[must_use]
    pub fn try_lock(&self) -> bool {
        self.futex.word().compare_exchange(UNLOCKED, LOCKED, Acquire, Relaxed).is_ok()
    }

    /// Gives the mutex back and wakes a sleeper if there may be one.
    ///
    /// # Safety
    /// The calling thread holds the mutex. (After fork, in the child: the thread that called fork held it.)
    #[inline]
    pub unsafe fn unlock(&self) {
        if self.futex.word().swap(UNLOCKED, Release) == CONTENDED {
            self.wake();
        }
    }

    /// Gives the mutex back without waking anybody: the sleepers of the parent do not exist in the child.
    ///
    /// # Safety
    /// Called in the child of a fork, whose only thread held the mutex when it forked.
    pub unsafe fn unlock_in_child(&self) {
        self.futex.word().store(UNLOCKED, Release);
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self) {
        let word = self.futex.word();
        let mut state = self.spin();
        if state == UNLOCKED {
            match word.compare_exchange(UNLOCKED, LOCKED, Acquire, Relaxed) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        loop {
            // The swap both announces this sleeper and takes the lock should it be free by now. A word that is CONTENDED
            // already needs no further write.
            if state != CONTENDED && word.swap(CONTENDED, Acquire) == UNLOCKED {
                return;
            }
            self.futex.wait_as_lock(CONTENDED, None);
            state = self.spin();
        }
    }

    /// Waits shortly for an owner that is running; returns the state last seen.
    fn spin(&self) -> u32 {
        let mut left = spins();
        loop {
            let state = self.futex.word().load(Relaxed);
            if state != LOCKED || left == 0 {
                return state;
            }
            spin_loop();
            left -= 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        self.futex.wake_as_lock(1);
    }
}

impl Default for RawMutex {
    fn default() -> Self {
        Self::new()
    }
}

/// How often a waiter looks again before it sleeps: about the length of our longest critical section on the fast
/// paths, a few hundred cycles. A model needs none of it, since loom explores the other orders anyway.
fn spins() -> u32 {
    #[cfg(not(loom))]
    let spins = if crate::sys::thread::has_several_cpus() { 100 } else { 0 };
    #[cfg(loom)]
    let spins = 0;
    spins
}
