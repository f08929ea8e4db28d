//! Atomics that are always `core`'s, also under loom.
//!
//! Two kinds of words need them: words in zeroed mappings, because all-zero bytes are no valid value of loom's types,
//! and values whose races do not matter to any model, such as a cached constant. A word that a model must explore uses
//! [`super::atomic`].
//!
//! Locks: none.

pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
