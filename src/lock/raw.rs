//! The mutex algorithm: one word that names the owner.
//!
//! The fast path changes the word from UNLOCKED to the owner's number. A waiter adds CONTENDED before it sleeps. The
//! thread that unlocks a CONTENDED word wakes one sleeper. A woken waiter takes the lock as CONTENDED, because others
//! may still sleep: this can wake one thread too many at the end of a queue, and never one too few.
//!
//! The word names the owner, so at no moment does a thread have the lock without a sign of it. A fork in a signal
//! handler needs this sign: the signal may have interrupted its thread anywhere. The fork handler must leave the
//! thread's own locks alone and wait for all others. It marks the locks that it takes with OVER_FORK.
//!
//! Invariants (modelled in loom-tests/tests/lock.rs): (1) at most one thread is between lock and unlock; (2) while a
//! thread sleeps, the word is CONTENDED or its unlocker is about to wake one sleeper; (3) only a thread itself writes
//! its number into the word or takes it out.
//!
//! Orderings: a thread takes the word with Acquire and reads the stores that the last owner released with Release. A
//! waiter takes nothing, so its loads and its CONTENDED are Relaxed; CONTENDED continues the release sequence of the
//! last owner.
//!
//! A waiter spins only while the word is not CONTENDED, because a CONTENDED word says that spinning was useless before.
//! With one processor a waiter never spins.

use super::LockFutex;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{const_unless_loom, spin_loop};
use crate::sys::thread::identity;

const UNLOCKED: usize = 0;
/// Some thread may sleep.
const CONTENDED: usize = 1;
/// The owner's fork handler took the lock.
const OVER_FORK: usize = 2;
/// The other bits: the owner's number, a multiple of 4 and not 0. The lower halves of two numbers may agree. A waiter
/// may then sleep on the CONTENDED word of another owner, whose unlock wakes a sleeper too. UNLOCKED agrees with no
/// such word.
const OWNER: usize = !(CONTENDED | OVER_FORK);

/// How often a fork handler sleeps for one lock while it holds others. See [`RawMutex::hold_over_fork`].
const FORK_TRIES: u32 = if cfg!(loom) { 1 } else { 10 };
/// The longest of these sleeps.
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
    /// The thread had the mutex before: the fork interrupted its critical section.
    Interrupted,
    /// Another thread has the mutex and does not release it.
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

    /// Takes the mutex. Sleeps until the mutex is free.
    #[inline]
    pub fn lock(&self) {
        let own = identity();
        if self.futex.word().compare_exchange(UNLOCKED, own, Acquire, Relaxed).is_err() {
            self.lock_contended(own, None);
        }
    }

    /// Releases the mutex, and wakes a sleeper if there may be one.
    ///
    /// # Safety
    /// The calling thread holds the mutex.
    #[inline]
    pub unsafe fn unlock(&self) {
        if self.futex.word().swap(UNLOCKED, Release) & CONTENDED != 0 {
            self.wake();
        }
    }

    /// Takes the mutex for a fork handler. It does not take the mutex if its thread has it already. It gives up if the
    /// owner keeps the mutex for long: the owner's own fork, in a signal handler, may wait for locks that the caller
    /// holds. The caller must then release these locks.
    pub fn hold_over_fork(&self) -> Hold {
        let own = identity();
        // Only this thread writes its number, so an old value of the word says the same.
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

    /// Releases the mutex and wakes nobody: the parent's sleepers do not exist in the child.
    ///
    /// # Safety
    /// Called in the child of a fork, whose only thread held the mutex when it forked.
    pub unsafe fn unlock_in_child(&self) {
        self.futex.word().store(UNLOCKED, Release);
    }

    /// Puts `taken` into the word. Sleeps while the word has an owner, at most `tries` times if given. Whether it took
    /// the mutex.
    #[cold]
    #[inline(never)]
    fn lock_contended(&self, taken: usize, mut tries: Option<u32>) -> bool {
        let word = self.futex.word();
        let mut state = self.spin();
        // CONTENDED once this thread has slept, because others may still sleep.
        let mut sleepers = 0;
        loop {
            if state == UNLOCKED {
                match word.compare_exchange(UNLOCKED, taken | sleepers, Acquire, Relaxed) {
                    Ok(_) => return true,
                    Err(now) => state = now,
                }
                continue;
            }
            // A CONTENDED word needs no write.
            if state & CONTENDED == 0 {
                if let Err(now) = word.compare_exchange(state, state | CONTENDED, Relaxed, Relaxed) {
                    state = now;
                    continue;
                }
            }
            // This is the only place to give up. The word is CONTENDED, so its unlocker wakes a sleeper, even if this
            // thread got the last wake-up.
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

    /// Waits for a short time for a running owner. Returns the last state of the word.
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

/// How often a waiter reads the word before it sleeps: for about the longest critical section of the frequent paths. A
/// model does not spin, because loom explores the other orders anyway.
fn spins() -> u32 {
    #[cfg(not(loom))]
    let spins = if crate::sys::thread::has_several_cpus() { 100 } else { 0 };
    #[cfg(loom)]
    let spins = 0;
    spins
}
