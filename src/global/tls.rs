//! The words of thread-local storage ([`CacheSlot`]).
//!
//! On Linux they are a symbol of our own in the initial-exec model (x86-64; AArch64, which we build but do not run):
//! reading `fast` is two instructions in an executable, a shared library and under LD_PRELOAD alike, where `thread_local!`
//! of a library that is not inlined is a padded call. Twenty-four bytes fit into what the loader keeps for libraries that are
//! opened later. Elsewhere `thread_local!` with a constant initialiser and no destructor serves; it neither allocates nor
//! registers anything.
//!
//! The read is not `pure`: a drainer and the thread's own slow path change the word, so no value may be kept from one
//! operation to the next.
//!
//! Orderings: a plain load, or Relaxed. What is read through the word depends on it, and the stores to it are Release; the
//! ordering against a drainer comes from its barrier (see `thread_cache`).
//!
//! Locks: none.

use crate::thread_cache::{CacheSlot, ThreadCache};

#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod imp {
    use super::{CacheSlot, ThreadCache};

    // SAFETY (of the assembly): defines one 24-byte object in the section for initialised thread-local data, laid out as
    // `CacheSlot` is: the address of the static cache, null, and zero.
    core::arch::global_asm!(
        ".pushsection .tdata.neap_cache_slot,\"awT\",@progbits",
        ".p2align 4",
        ".globl neap_0_1_cache_slot",
        ".hidden neap_0_1_cache_slot",
        ".type neap_0_1_cache_slot,@object",
        ".size neap_0_1_cache_slot,24",
        "neap_0_1_cache_slot:",
        ".quad {sentinel_cache}",
        ".quad 0",
        ".quad 0",
        ".popsection",
        sentinel_cache = sym super::super::statics::SENTINEL_CACHE,
    );

    const _: () = assert!(
        memoffset::offset_of!(CacheSlot, fast) == 0
            && memoffset::offset_of!(CacheSlot, own) == 8
            && memoffset::offset_of!(CacheSlot, inside) == 16
            && size_of::<CacheSlot>() == 24
    );

    #[inline(always)]
    pub fn fast() -> *const ThreadCache {
        let cache: *const ThreadCache;
        // SAFETY: reads the first word of the thread's object; changes nothing.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                "mov {0}, qword ptr [rip + neap_0_1_cache_slot@GOTTPOFF]",
                "mov {0}, qword ptr fs:[{0}]",
                out(reg) cache,
                options(nostack, preserves_flags, readonly),
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!(
                "adrp {0}, :gottprel:neap_0_1_cache_slot",
                "ldr {0}, [{0}, :gottprel_lo12:neap_0_1_cache_slot]",
                "mrs {1}, tpidr_el0",
                "ldr {0}, [{1}, {0}]",
                out(reg) cache,
                out(reg) _,
                options(nostack, preserves_flags, readonly),
            );
        }
        cache
    }

    #[inline]
    pub fn slot() -> *const CacheSlot {
        let slot: *const CacheSlot;
        // SAFETY: computes the address of the thread's object; changes nothing.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                "mov {0}, qword ptr fs:[0]",
                "add {0}, qword ptr [rip + neap_0_1_cache_slot@GOTTPOFF]",
                out(reg) slot,
                options(nostack, readonly),
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!(
                "adrp {0}, :gottprel:neap_0_1_cache_slot",
                "ldr {0}, [{0}, :gottprel_lo12:neap_0_1_cache_slot]",
                "mrs {1}, tpidr_el0",
                "add {0}, {1}, {0}",
                out(reg) slot,
                out(reg) _,
                options(nostack, preserves_flags, readonly),
            );
        }
        slot
    }
}

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux")))]
mod imp {
    use super::super::statics::SENTINEL_CACHE;
    use super::{CacheSlot, ThreadCache};
    use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

    std::thread_local! {
        static SLOT: CacheSlot = const {
            CacheSlot {
                fast: AtomicPtr::new((&raw const SENTINEL_CACHE).cast_mut()),
                own: AtomicPtr::new(core::ptr::null_mut()),
                inside: AtomicUsize::new(0),
            }
        };
    }

    #[inline(always)]
    pub fn fast() -> *const ThreadCache {
        SLOT.with(|slot| slot.fast.load(Ordering::Relaxed))
    }

    #[inline]
    pub fn slot() -> *const CacheSlot {
        SLOT.with(core::ptr::from_ref)
    }
}

/// The cache that the calling thread's operations follow; never null.
#[inline(always)]
pub fn fast() -> *const ThreadCache {
    imp::fast()
}

/// The calling thread's words; valid as long as the thread.
#[inline]
pub fn slot<'a>() -> &'a CacheSlot {
    // SAFETY: the address of the thread's own object, which lives as long as the thread; its fields are atomics.
    unsafe { &*imp::slot() }
}
