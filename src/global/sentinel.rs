//! The sentinel cache: what threads without a cache follow. It is empty and full at once, so that none of their states costs the
//! fast path a test.
//!
//! Locks: none; neither static is ever written.

use crate::caches::{Magazine, ThreadCache};

/// The block under the tops of [`SENTINEL_CACHE`].
pub static SENTINEL: Magazine = Magazine::null();
/// The sentinel cache.
pub static SENTINEL_CACHE: ThreadCache = ThreadCache::new(SENTINEL.last());
