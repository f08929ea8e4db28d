//! The word of a lock, with a queue of waiters: the kernel's private futex, or `sync::queue` under loom.
//!
//! The word is as wide as an address, so that it can name the owner. The kernel compares only its lower 32 bits. If two
//! values agree in these bits, a thread that saw one value may sleep on the other. So both must be values to sleep on.
//!
//! Locks: not checked, because a thread may wait for a lock while it holds others; the ranks make this safe.

use crate::sync::atomic::AtomicUsize;
#[cfg(loom)]
use crate::sync::{atomic::Ordering, queue::Queue};

/// An address-sized word with a queue of sleepers.
#[derive(Debug)]
pub struct LockFutex {
    /// Threads that lock and unlock write the word and choose the orderings. The queue adds none.
    word: AtomicUsize,
    #[cfg(loom)]
    queue: Queue,
}

impl LockFutex {
    crate::sync::const_unless_loom! {
        /// A futex whose word is `value`.
        #[inline]
        pub fn new(value: usize) -> Self {
            Self {
                word: AtomicUsize::new(value),
                #[cfg(loom)]
                queue: Queue::new(),
            }
        }
    }

    /// The word.
    #[inline]
    pub fn word(&self) -> &AtomicUsize {
        &self.word
    }

    /// Sleeps while the word's lower half is that of `expected`, for at most `timeout_ns` if given. May return early,
    /// for no reason.
    pub fn wait(&self, expected: usize, timeout_ns: Option<u64>) {
        #[cfg(not(loom))]
        crate::sys::futex::wait(self.lower_half(), expected as u32, timeout_ns);
        #[cfg(loom)]
        self.queue.wait(timeout_ns.is_some(), || self.word.load(Ordering::SeqCst) == expected);
    }

    /// Wakes up to `sleepers` threads.
    pub fn wake(&self, sleepers: u32) {
        #[cfg(not(loom))]
        crate::sys::futex::wake(self.lower_half(), sleepers);
        #[cfg(loom)]
        self.queue.wake(sleepers);
    }

    #[cfg(not(loom))]
    fn lower_half(&self) -> *const u32 {
        let halves: *const u32 = self.word.as_ptr().cast_const().cast();
        halves.wrapping_add(if cfg!(target_endian = "big") { size_of::<usize>() / 4 - 1 } else { 0 })
    }
}
