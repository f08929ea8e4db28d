//! Threads, simulated. A model starts its threads with loom.
//!
//! Orderings: Relaxed, for a counter whose values only have to differ.
//!
//! Locks: none.

use crate::sync::plain::{AtomicUsize, Ordering};
use crate::sys::held::assert_none_held;

/// Models use no processor time.
pub fn thread_cpu_time_ns() -> u64 {
    assert_none_held("clock_gettime");
    0
}

/// Two.
pub fn cpus_available() -> usize {
    assert_none_held("sched_getaffinity");
    2
}

/// A number that no other thread of the execution has: a multiple of 4, never 0.
pub(crate) fn identity() -> usize {
    OWN.with(|own| *own)
}

loom::lazy_static! {
    static ref THREADS: AtomicUsize = AtomicUsize::new(0);
}

loom::thread_local! {
    static OWN: usize = 4 * (1 + THREADS.fetch_add(1, Ordering::Relaxed));
}
