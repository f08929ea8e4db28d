//! A word that threads can sleep on.
//!
//! Real: the kernel's private futex. Under loom: a mutex and a condition variable of loom's stand in for the kernel's
//! bucket lock and queue, so that a lost wake-up shows as a deadlock of the model. A wait with a timeout is modelled as
//! one that may return at once, since loom has no clock.
//!
//! Locks: [`Futex::wait`] and [`Futex::wake`] want none held, like every system call; `lock` itself uses the variants
//! without that check, for the lock it waits for or has just released.

#[cfg(not(loom))]
use super::atomic::AtomicU32;
#[cfg(loom)]
use super::atomic::{AtomicU32, Ordering};
use crate::sys::held::assert_none_held;

/// A 32-bit word with a queue of sleepers.
#[derive(Debug)]
pub struct Futex {
    /// Changed by the owner with the orderings it needs; the queue adds no ordering of its own.
    word: AtomicU32,
    #[cfg(loom)]
    bucket: loom::sync::Mutex<()>,
    #[cfg(loom)]
    queue: loom::sync::Condvar,
}

impl Futex {
    super::const_unless_loom! {
        /// A futex whose word is `value`.
        #[inline]
        pub fn new(value: u32) -> Self {
            Self {
                word: AtomicU32::new(value),
                #[cfg(loom)]
                bucket: loom::sync::Mutex::new(()),
                #[cfg(loom)]
                queue: loom::sync::Condvar::new(),
            }
        }
    }

    /// The word.
    #[inline]
    pub fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Sleeps while the word is `expected`, for at most `timeout_ns` if given. May return early for no reason.
    pub fn wait(&self, expected: u32, timeout_ns: Option<u64>) {
        assert_none_held("futex wait");
        self.wait_as_lock(expected, timeout_ns);
    }

    /// Wakes up to `sleepers` threads.
    pub fn wake(&self, sleepers: u32) {
        assert_none_held("futex wake");
        self.wake_as_lock(sleepers);
    }

    /// [`Self::wait`] for a lock's own word: other locks may be held.
    pub(crate) fn wait_as_lock(&self, expected: u32, timeout_ns: Option<u64>) {
        #[cfg(not(loom))]
        crate::sys::futex::wait(&self.word, expected, timeout_ns);
        #[cfg(loom)]
        {
            if timeout_ns.is_some() {
                loom::thread::yield_now();
                return;
            }
            let bucket = self.bucket.lock().expect("loom's locks are never poisoned");
            if self.word.load(Ordering::SeqCst) == expected {
                drop(self.queue.wait(bucket));
            }
        }
    }

    /// [`Self::wake`] for a lock's own word: other locks may be held.
    pub(crate) fn wake_as_lock(&self, sleepers: u32) {
        #[cfg(not(loom))]
        crate::sys::futex::wake(&self.word, sleepers);
        #[cfg(loom)]
        {
            let bucket = self.bucket.lock().expect("loom's locks are never poisoned");
            match sleepers {
                0 => {}
                1 => self.queue.notify_one(),
                _ => self.queue.notify_all(),
            }
            drop(bucket);
        }
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
