//! Locks: a word and the value it guards, with a rank.
//!
//! [`Lock`] is a futex mutex over [`RawMutex`], whose word names its owner: an uncontended lock and unlock are one atomic operation
//! each, a waiter spins shortly and then sleeps, and nobody spins while the owner sleeps. `std::sync::Mutex` is no choice
//! below an allocator that must not depend on std, a spin lock burns the time slice its preempted owner needs. Under loom
//! `Lock` is loom's mutex, so that a model explores each acquisition once; `RawMutex` has a model of its own.
//!
//! Ranks are checked in debug builds, tests and models (see `sys::held`).

mod barrier;
mod fork;
mod futex;
mod lock_futex;
#[cfg(loom)]
mod loom_lock;
mod padded;
#[cfg(not(loom))]
mod ranked;
mod raw;

pub use barrier::{between_stores, heavy_barrier, light_barrier};
pub use fork::ForkLock;
pub use futex::Futex;
pub use lock_futex::LockFutex;
#[cfg(loom)]
pub use loom_lock::{Guard, Lock};
pub use padded::CachePadded;
#[cfg(not(loom))]
pub use ranked::{Guard, Lock};
pub use raw::{Hold, RawMutex};

#[cfg(all(test, not(loom)))]
mod tests;

pub use crate::sys::held::{Rank, set_aside, take_back};
