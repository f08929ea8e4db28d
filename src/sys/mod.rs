//! The operating system: the only module that names libc.
//!
//! Thin functions that never allocate and never panic; what can fail says so in its result. Each system call first
//! asserts that the thread holds no lock ([`held`]), so that nobody ever waits for a lock whose owner waits for the
//! kernel. Exceptions, all documented where they are: growing the heap and its metadata (rare, short, and done under the
//! heap lock by design), the futex of a lock itself, messages, and the clock, which is no system call.
//!
//! Under loom the parts that touch memory, threads or time are a simulation (`sim`) with the same names.
//!
//! Layers: above `sync`'s atomics, below everything else. Locks: none of its own.

pub mod errno;
pub mod fault;
#[cfg(not(loom))]
pub(crate) mod futex;
pub mod held;
pub mod message;

#[cfg(not(loom))]
pub mod env;
#[cfg(not(loom))]
pub mod file;
#[cfg(not(loom))]
pub mod fork;
#[cfg(not(loom))]
pub mod membarrier;
#[cfg(not(loom))]
mod move_pages;
#[cfg(not(loom))]
pub mod page;
#[cfg(not(loom))]
pub mod random;
#[cfg(not(loom))]
mod release_many;
#[cfg(not(loom))]
pub mod signal;
#[cfg(all(serves_c, not(loom)))]
pub mod stream;
#[cfg(all(serves_c, not(loom)))]
pub mod symbol;
#[cfg(not(loom))]
pub mod thp;
#[cfg(not(loom))]
pub mod thread;
#[cfg(not(loom))]
pub mod time;
#[cfg(not(loom))]
pub mod vm;

#[cfg(loom)]
pub mod sim;
#[cfg(loom)]
pub use sim::platform::{page, random, thp, time};
#[cfg(loom)]
pub use sim::{thread, vm};

pub use errno::Errno;
pub(crate) use message::fatal;
pub use random::random_bits;
