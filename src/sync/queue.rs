//! The kernel's queue of those that sleep on a word, under loom: a mutex and a condition variable of loom's stand in for the
//! bucket's lock and the queue, so that a lost wake-up shows as a deadlock of the model.
//!
//! A wait with a timeout is modelled as one that returns at once, since loom has no clock.
//!
//! Locks: its own.

use loom::sync::{Condvar, Mutex};

/// Those that sleep.
#[derive(Debug)]
pub(crate) struct Queue {
    bucket: Mutex<()>,
    sleepers: Condvar,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { bucket: Mutex::new(()), sleepers: Condvar::new() }
    }

    /// Sleeps if `is_expected` says so under the bucket's lock.
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

    /// Wakes one, or all.
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
