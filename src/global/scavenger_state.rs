//! The scavenger's state, which outlives its thread: what the policy has learnt stays. One thread at a time has it: the
//! scavenger's own while it works, or, where there is none, a slow path that does a tick inline.
//!
//! Orderings: the state is put back with Release and taken with Acquire, so its next user sees it; the deadline is Relaxed, because
//! it guards nothing but itself.
//!
//! Locks: none.

use core::ptr::{NonNull, null_mut};

use crate::heap::Heap;
use crate::scavenger::Scavenger;
use crate::sync::plain::{AtomicPtr, AtomicU64, Ordering};

use super::settings::config;

/// The state: null before it is made, [`TAKEN`] while somebody uses it, marked [`STALE`] in a fork's child that has not used
/// it yet.
static STATE: AtomicPtr<Scavenger> = AtomicPtr::new(null_mut());

/// When the next inline tick is due.
static INLINE_DEADLINE_NS: AtomicU64 = AtomicU64::new(0);

const TAKEN: *mut Scavenger = core::ptr::without_provenance_mut(1);
/// A bit of the state's address: what it knows is the past of the process's parent.
const STALE: usize = 2;

/// What became of [`take`].
pub enum Taken {
    /// The caller has the state, and nobody else, until it is [`put`] back.
    State(NonNull<Scavenger>),
    /// Somebody else has it.
    Busy,
    /// There is no memory for it.
    NoMemory,
}

/// Takes the state, which is made now if there is none.
pub fn take(heap: &Heap) -> Taken {
    let state = STATE.swap(TAKEN, Ordering::Acquire);
    if state == TAKEN {
        return Taken::Busy;
    }
    let is_stale = state.addr() & STALE != 0;
    let Some(made) = NonNull::new(state.map_addr(|address| address & !STALE)) else {
        let Some(memory) = heap.caches().metadata(size_of::<Scavenger>()) else {
            STATE.store(null_mut(), Ordering::Release);
            return Taken::NoMemory;
        };
        let made = memory.cast();
        // SAFETY: memory of that size, aligned to more than the type needs, and nobody else's.
        unsafe { made.write(Scavenger::new(config())) };
        return Taken::State(made);
    };
    if is_stale {
        // SAFETY: taken, so nobody else's; a scavenger has nothing to drop.
        unsafe { made.write(Scavenger::new(config())) };
    }
    Taken::State(made)
}

/// Puts the state back for its next user.
pub fn put(state: NonNull<Scavenger>) {
    STATE.store(state.as_ptr(), Ordering::Release);
}

/// Before this time nothing is to be done inline.
pub fn inline_deadline_ns() -> u64 {
    INLINE_DEADLINE_NS.load(Ordering::Relaxed)
}

/// See [`inline_deadline_ns`].
pub fn set_inline_deadline_ns(ns: u64) {
    INLINE_DEADLINE_NS.store(ns, Ordering::Relaxed);
}

/// In the child of a fork: a state that somebody used does not come back, and one that nobody used knows the parent's past.
/// It is not touched before it is used, since a fork copies what is written to.
pub fn renew_in_child() {
    let state = STATE.load(Ordering::Relaxed);
    let renewed =
        if state == TAKEN || state.is_null() { null_mut() } else { state.map_addr(|address| address | STALE) };
    STATE.store(renewed, Ordering::Relaxed);
    set_inline_deadline_ns(0);
}
