//! The sentinel cache: the cache that threads without a cache follow. It is empty and full at once, so the fast path needs no
//! test for such threads.
//!
//! Locks: none. Neither static is ever written.

use crate::caches::{Magazine, ThreadCache};

/// The block under the tops of [`SENTINEL_CACHE`].
pub static SENTINEL: Magazine = Magazine::null();
/// The sentinel cache.
pub static SENTINEL_CACHE: ThreadCache = ThreadCache::new(SENTINEL.last());
