//! The operating system: the only folder that names `libc`.
//!
//! The functions are thin. They never allocate and never panic; a result says what failed. Each system call first
//! asserts that its thread holds no lock ([`held`]), so no thread waits for a lock whose owner waits for the kernel. A
//! file that makes an exception says why in its paragraph on locks.
//!
//! | file | what it is for |
//! |---|---|
//! | `vm` | memory: reserve, back, release, advise, move |
//! | `page`, `thp` | the kernel's page size and its setting for huge pages |
//! | `limits` | what the process's own limits leave |
//! | `thread`, `signal`, `fork` | threads of our own, thread exit, blocked signals, fork handlers |
//! | `schedule` | processors, policy and niceness of a thread |
//! | `futex`, `membarrier` | sleep on a word; a barrier on all threads |
//! | `time`, `random`, `env`, `file` | the clock, random bits, the environment, small kernel files |
//! | `stream`, `symbol` | the C library's streams and other libraries' functions, in builds that serve C |
//! | `message`, `errno` | lines on fd 2 and the end of the process; error numbers |
//! | `held` | the order of locks, and the locks that a thread holds |
//! | `fault` | faults that tests inject, and a log of calls |
//! | `sim` | the kernel of a loom model, with the same names |
//!
//! Locks: none of its own.

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
pub mod limits;
#[cfg(all(any(test, feature = "internals"), not(loom)))]
pub mod mapping;
#[cfg(not(loom))]
pub mod membarrier;
#[cfg(all(any(test, feature = "internals"), not(loom)))]
pub mod object;
#[cfg(not(loom))]
pub mod page;
#[cfg(not(loom))]
pub mod random;
#[cfg(not(loom))]
pub mod schedule;
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
pub use sim::platform::{limits, page, random, thp, time};
#[cfg(loom)]
pub use sim::{thread, vm};

pub use errno::Errno;
pub(crate) use message::fatal;
pub use random::random_bits;
