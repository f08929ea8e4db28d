//! An asymmetric barrier: nearly free on the side that runs often, dear on the side that runs seldom.
//!
//! Locks: none. The heavy half makes a system call, and wants no lock held.

#[cfg(loom)]
use crate::sync::atomic;
#[cfg(not(loom))]
use crate::sync::signal_fence;

/// The light half of an asymmetric barrier: orders this thread's earlier stores before its later loads as far as a
/// [`heavy_barrier`] on another thread is concerned.
#[inline(always)]
pub fn light_barrier() {
    #[cfg(not(loom))]
    signal_fence();
    #[cfg(loom)]
    atomic::fence(atomic::Ordering::SeqCst);
}

/// A point between two stores that nothing else marks: in the models another thread's fork may stop this thread here.
#[inline(always)]
pub fn between_stores() {
    #[cfg(loom)]
    crate::sys::sim::process::between_stores();
}

/// The heavy half: a full barrier on this thread and on every running thread of the process. `false` where the kernel does
/// not offer it; then nothing was ordered.
pub fn heavy_barrier() -> bool {
    #[cfg(not(loom))]
    return crate::sys::membarrier::barrier();
    #[cfg(loom)]
    {
        atomic::fence(atomic::Ordering::SeqCst);
        true
    }
}
