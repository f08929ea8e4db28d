//! A futex's queue of sleepers, for models.
//!
//! A mutex and a condition variable of loom's stand in for the kernel's bucket lock and queue, so a lost wake-up shows
//! as a deadlock of the model. Loom has no clock, so a wait with a timeout returns at once.
//!
//! Locks: its own.

use loom::sync::{Condvar, Mutex};

/// The sleepers of one word.
#[derive(Debug)]
pub(crate) struct Queue {
    bucket: Mutex<()>,
    sleepers: Condvar,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { bucket: Mutex::new(()), sleepers: Condvar::new() }
    }

    /// Sleeps if `is_expected` answers `true` under the bucket's lock.
    pub(crate) fn wait(&self, has_timeout: bool, is_expected: impl FnOnce() -> bool) {
        if has_timeout {
            loom::thread::yield_now();
            return;
        }
        let bucket = self.bucket.lock().expect("loom's locks are never poisoned");
        if is_expected() {
            drop(self.sleepers.wait(bucket));
        }
    }

    /// Wakes one sleeper, or all.
    pub(crate) fn wake(&self, sleepers: u32) {
        let bucket = self.bucket.lock().expect("loom's locks are never poisoned");
        match sleepers {
            0 => {}
            1 => self.sleepers.notify_one(),
            _ => self.sleepers.notify_all(),
        }
        drop(bucket);
    }
}
