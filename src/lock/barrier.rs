//! An asymmetric barrier: cheap on the frequent side, expensive on the rare side.
//!
//! Locks: none. The heavy half makes a system call, so no lock may be held.

#[cfg(loom)]
use crate::sync::atomic;
#[cfg(not(loom))]
use crate::sync::signal_fence;

/// The light half: orders this thread's earlier stores before its later loads, for a thread that calls
/// [`heavy_barrier`].
#[inline(always)]
pub fn light_barrier() {
    #[cfg(not(loom))]
    signal_fence();
    #[cfg(loom)]
    atomic::fence(atomic::Ordering::SeqCst);
}

/// A point between two stores. In models another thread's fork may stop this thread here; elsewhere it is nothing.
#[inline(always)]
pub fn between_stores() {
    #[cfg(loom)]
    crate::sys::sim::process::between_stores();
}

/// The heavy half: a full barrier on this thread and on every running thread of the process. `false`, without effect,
/// where the kernel has no such barrier.
pub fn heavy_barrier() -> bool {
    #[cfg(not(loom))]
    return crate::sys::membarrier::barrier();
    #[cfg(loom)]
    {
        atomic::fence(atomic::Ordering::SeqCst);
        true
    }
}
