//! Stacks: the return addresses from here to the thread's first frame.
//!
//! A walk follows the tables that compilers write for exceptions, so it needs no frame pointers, which most programs do not
//! have; where there is no table it follows the chain of frame pointers. A walk takes no lock, allocates nothing, and reads
//! only what lies between the stack pointer and the end of the mapping that holds the stack, so it may start anywhere: in a signal
//! handler, while a library is being loaded, near the end of a stack. A rule is computed once for an address.
//!
//! Lives here: `bytes`, `registers` (what tables are written in), `rule` (one frame's undoing as a word), `expression`,
//! `program` and `cfi` (from tables to a rule), `cache` (rules found before), `walk` (rules applied), `here` (where a walk
//! starts, and what it may read).
//!
//! Rejected: `_Unwind_Backtrace` (it takes the dynamic linker's lock before glibc 2.35, allocates at its first call, and is many
//! times slower), the `framehop` crate (it wants a list of the loaded libraries on the heap, which its user keeps up to date),
//! frame pointers alone (a program in the default release profile has none).
//!
//! Locks: none.
#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code, reason = "no walk begins on other processors")
)]

mod bytes;
mod cache;
mod cfi;
mod expression;
mod here;
mod program;
mod registers;
mod rule;
mod walk;

pub use cache::Cache;
pub use here::{Bounds, capture};
pub use walk::{Stack, Walked};
