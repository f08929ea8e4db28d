//! The scavenger of a process without its thread: its state, which one slow path at a time uses.
//!
//! Orderings: the state is put back with Release and taken with Acquire, so its next user sees it; the deadline is Relaxed, because
//! it guards nothing but itself.
//!
//! Locks: none.

use core::ptr::null_mut;

use crate::scavenger::Scavenger;
use crate::sync::plain::{AtomicPtr, AtomicU64, Ordering};

use super::settings::config;

/// The state: null before it is made, [`TAKEN`] while somebody uses it.
static INLINE_SCAVENGER: AtomicPtr<Scavenger> = AtomicPtr::new(null_mut());

/// When its next tick is due.
static INLINE_DEADLINE_NS: AtomicU64 = AtomicU64::new(0);

const TAKEN: *mut Scavenger = core::ptr::without_provenance_mut(1);

/// The scavenger of a process without its thread: taken, so nobody else has it; null inside where it is still to be made.
/// `None` while somebody uses it.
pub fn take() -> Option<*mut Scavenger> {
    let scavenger = INLINE_SCAVENGER.swap(TAKEN, Ordering::Acquire);
    (scavenger != TAKEN).then_some(scavenger)
}

/// Puts the scavenger back for the next caller; null where it could not be made.
pub fn put(scavenger: *mut Scavenger) {
    INLINE_SCAVENGER.store(scavenger, Ordering::Release);
}

/// Before this time nothing is to be done inline.
pub fn deadline_ns() -> u64 {
    INLINE_DEADLINE_NS.load(Ordering::Relaxed)
}

/// See [`deadline_ns`].
pub fn set_deadline_ns(ns: u64) {
    INLINE_DEADLINE_NS.store(ns, Ordering::Relaxed);
}

/// In the child of a fork: one that somebody used does not come back, and one that nobody used knows the parent's past.
pub fn renew_in_child() {
    let scavenger = take().unwrap_or(null_mut());
    if !scavenger.is_null() {
        // SAFETY: taken, so nobody else's; a scavenger has nothing to drop.
        unsafe { scavenger.write(Scavenger::new(config())) };
    }
    put(scavenger);
    set_deadline_ns(0);
}
