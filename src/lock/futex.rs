//! A word that threads can sleep on: the kernel's private futex, or `sync::queue` under loom.
//!
//! Locks: none may be held, as for every system call. A lock sleeps on a word of its own ([`super::LockFutex`]).

use crate::sync::atomic::AtomicU32;
#[cfg(loom)]
use crate::sync::{atomic::Ordering, queue::Queue};
use crate::sys::held::assert_none_held;

/// A 32-bit word with a queue of sleepers.
#[derive(Debug)]
pub struct Futex {
    /// The user of the futex writes the word and chooses the orderings. The queue adds none.
    word: AtomicU32,
    #[cfg(loom)]
    queue: Queue,
}

impl Futex {
    crate::sync::const_unless_loom! {
        /// A futex whose word is `value`.
        #[inline]
        pub fn new(value: u32) -> Self {
            Self {
                word: AtomicU32::new(value),
                #[cfg(loom)]
                queue: Queue::new(),
            }
        }
    }

    /// The word.
    #[inline]
    pub fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Sleeps while the word is `expected`, for at most `timeout_ns` if given. May return early, for no reason.
    pub fn wait(&self, expected: u32, timeout_ns: Option<u64>) {
        assert_none_held("futex wait");
        #[cfg(not(loom))]
        crate::sys::futex::wait(self.word.as_ptr(), expected, timeout_ns);
        #[cfg(loom)]
        self.queue.wait(timeout_ns.is_some(), || self.word.load(Ordering::SeqCst) == expected);
    }

    /// Wakes up to `sleepers` threads.
    pub fn wake(&self, sleepers: u32) {
        assert_none_held("futex wake");
        #[cfg(not(loom))]
        crate::sys::futex::wake(self.word.as_ptr(), sleepers);
        #[cfg(loom)]
        self.queue.wake(sleepers);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Futex;
    use crate::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    #[test]
    fn wait_returns_when_the_word_differs_and_when_time_is_up() {
        let futex = Futex::new(1);
        futex.wait(0, None);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(5) {
            futex.wait(1, Some(6_000_000));
        }
    }

    #[test]
    fn wake_ends_a_wait() {
        let futex = Futex::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while futex.word().load(Ordering::Acquire) == 0 {
                    futex.wait(0, None);
                }
            });
            std::thread::sleep(Duration::from_millis(2));
            futex.word().store(1, Ordering::Release);
            futex.wake(u32::MAX);
        });
    }
}
