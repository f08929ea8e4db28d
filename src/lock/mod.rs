//! Locks, and what threads sleep on.
//!
//! [`Lock`] is a value behind a futex mutex with a rank. An uncontended lock and unlock are one atomic operation each.
//! A waiter spins for a short time and then sleeps, so nobody spins while the owner sleeps. Two alternatives do not
//! fit: `std::sync::Mutex`, because the allocator must not depend on std, and a spin lock, which burns the time slice
//! that its preempted owner needs.
//!
//! | file | what is in it |
//! |---|---|
//! | `ranked`, `raw` | the real [`Lock`]: rank and value, and the algorithm on one word that names the owner |
//! | `loom_lock` | [`Lock`] in models: loom's mutex, so a model explores each acquisition as one step |
//! | `fork` | locks as the fork handlers see them |
//! | `lock_futex`, `futex` | a lock's word, and any other word, with a queue of sleepers |
//! | `barrier` | a memory barrier that is cheap on its frequent side |
//! | `padded` | a value on cache lines of its own |
//!
//! Debug builds, tests and models check the ranks (`sys::held`).

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
pub use ranked::Lock;
pub use raw::{Hold, RawMutex};

#[cfg(all(test, not(loom)))]
mod tests;

pub use crate::sys::held::{Rank, set_aside, take_back};
