//! The hard limit on the pages that all page heaps together map. At the limit allocations fail.
//!
//! Orderings: Relaxed. The number stands for itself. Growth takes pages from the number before it maps them, so the mapped
//! pages never pass the limit.
//!
//! Locks: none of its own. Growth calls it under the lock of the page heap that grows.

use crate::sync::plain::{AtomicUsize, Ordering};

/// The hard limit: how many more pages all page heaps together may map.
pub struct Limit {
    left_pages: AtomicUsize,
}

impl Limit {
    /// More pages than there are: no limit.
    pub const NONE: usize = usize::MAX / 2;

    /// A limit of zero. The caller calls [`Limit::set`] before anything else.
    pub const fn new() -> Self {
        Self { left_pages: AtomicUsize::new(0) }
    }

    /// Sets the limit, before the first growth.
    pub fn set(&self, pages: usize) {
        self.left_pages.store(pages, Ordering::Relaxed);
    }

    /// Takes pages that growth is about to map from the limit; `false` if they would pass it.
    pub fn take(&self, pages: usize) -> bool {
        let take = |left: usize| left.checked_sub(pages);
        self.left_pages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Gives back pages that were taken and then not mapped.
    pub fn give_back(&self, pages: usize) {
        self.left_pages.fetch_add(pages, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Limit;

    #[test]
    fn taken_pages_never_pass_the_limit() {
        let limit = Limit::new();
        limit.set(Limit::NONE);
        assert!(limit.take(1 << 40), "no limit");
        limit.set(10);
        assert!(limit.take(7) && !limit.take(4) && limit.take(3) && !limit.take(1));
        limit.give_back(5);
        assert!(!limit.take(6) && limit.take(5));
    }
}
