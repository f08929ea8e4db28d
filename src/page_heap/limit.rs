//! The hard limit on what the page heaps map, all together: the heap never maps more, and allocations fail instead.
//!
//! Orderings: Relaxed. The number stands for itself; it is taken before anything is mapped, so the sum never passes the limit.
//!
//! Locks: none of its own; growth counts under the lock of the page heap that grows.

use crate::sync::plain::{AtomicUsize, Ordering};

/// The hard limit: how many more pages all heaps together may map.
pub struct Limit {
    left_pages: AtomicUsize,
}

impl Limit {
    /// So many pages are no limit.
    pub const NONE: usize = usize::MAX / 2;

    /// Nothing may be mapped; [`Limit::set`] comes before anything else.
    pub const fn new() -> Self {
        Self { left_pages: AtomicUsize::new(0) }
    }

    /// Sets it, before the first growth; [`Limit::NONE`] is more than there is.
    pub fn set(&self, pages: usize) {
        self.left_pages.store(pages, Ordering::Relaxed);
    }

    /// Counts pages that growth is about to map; `false` if that would be too many.
    pub fn take(&self, pages: usize) -> bool {
        let take = |left: usize| left.checked_sub(pages);
        self.left_pages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// They were not mapped after all.
    pub fn give_back(&self, pages: usize) {
        self.left_pages.fetch_add(pages, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Limit;

    #[test]
    fn what_is_taken_never_passes_the_limit() {
        let limit = Limit::new();
        limit.set(Limit::NONE);
        assert!(limit.take(1 << 40), "no limit");
        limit.set(10);
        assert!(limit.take(7) && !limit.take(4) && limit.take(3) && !limit.take(1));
        limit.give_back(5);
        assert!(!limit.take(6) && limit.take(5));
    }
}
