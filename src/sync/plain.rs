//! Atomics that are always `core`'s, also under loom.
//!
//! For words that live in zeroed mappings (all-zero bytes are valid values here, loom's types do not allow that) and for
//! values whose races do not matter to any model, such as a cached process constant. What a model shall explore must use
//! [`super::atomic`].
//!
//! Locks: none.

pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
