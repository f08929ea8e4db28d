//! An asymmetric barrier: nearly free on the side that runs often, dear on the side that runs seldom.
//!
//! Layers: above `sys`, whose membarrier call the dear half makes. Locks: none.

use super::atomic;

/// The cheap half of an asymmetric barrier: orders this thread's earlier stores before its later loads as far as a
/// [`heavy_barrier`] on another thread is concerned.
#[inline(always)]
pub fn light_barrier() {
    #[cfg(not(loom))]
    core::sync::atomic::compiler_fence(atomic::Ordering::SeqCst);
    #[cfg(loom)]
    atomic::fence(atomic::Ordering::SeqCst);
}

/// A point between two stores that nothing else marks: in the models another thread's fork may stop this one here.
#[inline(always)]
pub fn between_stores() {
    #[cfg(loom)]
    crate::sys::sim::process::between_stores();
}

/// The dear half: a full barrier on this thread and on every running thread of the process. `false` where the kernel does
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
