//! The mutex algorithm: one word that names the owner.
//!
//! UNLOCKED -> the owner's number by the fast path; a waiter adds CONTENDED before it sleeps, and whoever unlocks a CONTENDED
//! word wakes one sleeper. A woken waiter takes the lock as CONTENDED, since it cannot know whether others still sleep:
//! one wake-up too many at the end of a queue, none too few.
//!
//! The owner is part of the word, so that there is no moment at which a thread has the lock and does not know: a fork in a
//! signal handler, which may have interrupted its thread anywhere, must leave alone what that thread holds and wait for all
//! else. A lock that the handler took itself is marked OVER_FORK.
//!
//! Invariants (modelled in loom-tests/tests/lock.rs): (1) at most one thread is between lock and unlock; (2) while a
//! thread sleeps, the word is CONTENDED or its unlocker has yet to wake one sleeper; (3) only a thread itself writes its
//! number into the word or takes it out.
//!
//! Orderings: whoever takes the word does so with Acquire, and reads what the last owner stored with Release; a waiter's
//! look and its CONTENDED are Relaxed, for they take nothing, and leave a reader of the word what the owner released.
//!
//! A waiter spins only while the word is not CONTENDED: that means that somebody found spinning useless already. With one
//! processor it never spins.

use super::LockFutex;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{const_unless_loom, spin_loop};
use crate::sys::thread::identity;

const UNLOCKED: usize = 0;
/// Somebody may sleep.
const CONTENDED: usize = 1;
/// The owner's fork handler took the lock.
const OVER_FORK: usize = 2;
/// The rest is the owner's number, a multiple of 4 and not 0. The lower halves of two such numbers may agree: a thread then
/// sleeps on a word that was CONTENDED under another owner than the one it saw, which is as well. UNLOCKED is no such word.
const OWNER: usize = !(CONTENDED | OVER_FORK);

/// A fork handler does not wait for a lock with others held for longer than so many times ...
const FORK_TRIES: u32 = if cfg!(loom) { 1 } else { 10 };
/// ... so long. See [`RawMutex::hold_over_fork`].
const FORK_PATIENCE_NS: u64 = 10_000_000;

/// A mutex without a value or a rank: the word of [`super::Lock`].
#[derive(Debug)]
pub struct RawMutex {
    futex: LockFutex,
}

/// What [`RawMutex::hold_over_fork`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// The mutex was taken.
    Taken,
    /// The thread has it already: the fork interrupted a critical section.
    Interrupted,
    /// Somebody else has it and does not give it back.
    Stuck,
}

impl RawMutex {
    const_unless_loom! {
        /// An unlocked mutex.
        #[inline]
        pub fn new() -> Self {
            Self { futex: LockFutex::new(UNLOCKED) }
        }
    }

    /// Takes the mutex, sleeping until it is free.
    #[inline]
    pub fn lock(&self) {
        let own = identity();
        if self.futex.word().compare_exchange(UNLOCKED, own, Acquire, Relaxed).is_err() {
            self.lock_contended(own, None);
        }
    }

    /// Gives the mutex back and wakes a sleeper if there may be one.
    ///
    /// # Safety
    /// The calling thread holds the mutex. (After fork, in the child: the thread that called fork held it.)
    #[inline]
    pub unsafe fn unlock(&self) {
        if self.futex.word().swap(UNLOCKED, Release) & CONTENDED != 0 {
            self.wake();
        }
    }

    /// Takes the mutex for a fork handler, unless its thread has it already, or nobody gives it back for a while: a fork
    /// that interrupted the owner needs the others that the caller holds. The caller must then give those back.
    pub fn hold_over_fork(&self) -> Hold {
        let own = identity();
        // Only this thread writes its number; what is read of others does not matter.
        if self.futex.word().load(Relaxed) & OWNER == own {
            return Hold::Interrupted;
        }
        let taken = self.futex.word().compare_exchange(UNLOCKED, own | OVER_FORK, Acquire, Relaxed).is_ok();
        if taken || self.lock_contended(own | OVER_FORK, Some(FORK_TRIES)) { Hold::Taken } else { Hold::Stuck }
    }

    /// Whether the calling thread's fork handler holds the mutex.
    pub fn is_held_over_fork(&self) -> bool {
        self.futex.word().load(Relaxed) & !CONTENDED == identity() | OVER_FORK
    }

    /// Gives the mutex back without waking anybody: the sleepers of the parent do not exist in the child.
    ///
    /// # Safety
    /// Called in the child of a fork, whose only thread held the mutex when it forked.
    pub unsafe fn unlock_in_child(&self) {
        self.futex.word().store(UNLOCKED, Release);
    }

    /// Puts `taken` into the word, sleeping while it has an owner, at most so many times if given. Whether it did.
    #[cold]
    #[inline(never)]
    fn lock_contended(&self, taken: usize, mut tries: Option<u32>) -> bool {
        let word = self.futex.word();
        let mut state = self.spin();
        // Nobody is known to sleep, unless this thread has.
        let mut sleepers = 0;
        loop {
            if state == UNLOCKED {
                match word.compare_exchange(UNLOCKED, taken | sleepers, Acquire, Relaxed) {
                    Ok(_) => return true,
                    Err(now) => state = now,
                }
                continue;
            }
            // A word that is CONTENDED already needs no further write.
            if state & CONTENDED == 0
                && let Err(now) = word.compare_exchange(state, state | CONTENDED, Relaxed, Relaxed)
            {
                state = now;
                continue;
            }
            // Here and nowhere else may it give up: the word is CONTENDED, so whoever unlocks it wakes somebody, even if the
            // last wake-up was this thread's.
            if let Some(left) = &mut tries {
                if *left == 0 {
                    return false;
                }
                *left -= 1;
            }
            self.futex.wait(state | CONTENDED, tries.map(|_| FORK_PATIENCE_NS));
            sleepers = CONTENDED;
            state = self.spin();
        }
    }

    /// Waits shortly for an owner that is running; returns the state last seen.
    fn spin(&self) -> usize {
        let mut left = spins();
        loop {
            let state = self.futex.word().load(Relaxed);
            if state == UNLOCKED || state & CONTENDED != 0 || left == 0 {
                return state;
            }
            spin_loop();
            left -= 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        self.futex.wake(1);
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
