//! The scavenger's state. It outlives the scavenger's thread, so the policy forgets nothing.
//!
//! One thread at a time has the state: the scavenger's thread while it works, or a slow path that does a tick inline.
//!
//! Orderings: the state is put back with Release and taken with Acquire, so the next thread that has it sees its contents. The
//! deadline is Relaxed, because it stands for itself.
//!
//! Locks: none.

use core::ptr::{NonNull, null_mut};

use crate::heap::Heap;
use crate::scavenger::Scavenger;
use crate::sync::plain::{AtomicPtr, AtomicU64, Ordering};

use super::settings::config;

/// The state. Null before it is made, [`TAKEN`] while a thread has it, marked [`STALE`] in the child of a fork until it is used
/// there.
static STATE: AtomicPtr<Scavenger> = AtomicPtr::new(null_mut());

/// When the next inline tick is due.
static INLINE_DEADLINE_NS: AtomicU64 = AtomicU64::new(0);

const TAKEN: *mut Scavenger = core::ptr::without_provenance_mut(1);
/// A bit in the state's address: the state knows the past of the parent process.
const STALE: usize = 2;

/// The result of [`take`].
pub enum Taken {
    /// The caller alone has the state, until the caller [`put`]s it back.
    State(NonNull<Scavenger>),
    /// Another thread has the state.
    Busy,
    /// There is no memory for the state.
    NoMemory,
}

/// Takes the state. If there is no state, this call makes it.
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
        // SAFETY: the memory has the type's size and at least its alignment, and nobody else has it.
        unsafe { made.write(Scavenger::new(config())) };
        return Taken::State(made);
    };
    if is_stale {
        // SAFETY: this thread has taken the state, so no other thread has it; a scavenger has nothing to drop.
        unsafe { made.write(Scavenger::new(config())) };
    }
    Taken::State(made)
}

/// Puts the state back for the next thread.
pub fn put(state: NonNull<Scavenger>) {
    STATE.store(state.as_ptr(), Ordering::Release);
}

/// No tick is due inline before this time.
pub fn inline_deadline_ns() -> u64 {
    INLINE_DEADLINE_NS.load(Ordering::Relaxed)
}

/// See [`inline_deadline_ns`].
pub fn set_inline_deadline_ns(ns: u64) {
    INLINE_DEADLINE_NS.store(ns, Ordering::Relaxed);
}

/// In the child of a fork: a state that another thread had does not come back, and any other state knows the parent's past. The
/// state itself is written only when it is used, because the kernel copies a page that the child writes to.
pub fn renew_in_child() {
    let state = STATE.load(Ordering::Relaxed);
    let renewed =
        if state == TAKEN || state.is_null() { null_mut() } else { state.map_addr(|address| address | STALE) };
    STATE.store(renewed, Ordering::Relaxed);
    set_inline_deadline_ns(0);
}
