//! The words of thread-local storage ([`ThreadWords`]).
//!
//! On Linux they are a symbol of our own in the initial-exec model (x86-64; AArch64, which we build but do not run):
//! reading `fast` is two instructions in an executable, a shared library and under LD_PRELOAD alike, where `thread_local!`
//! of a library that is not inlined is a padded call. Three words fit into what the loader keeps for libraries that are
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

use crate::caches::{ThreadCache, ThreadWords};

#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod imp {
    use super::{ThreadCache, ThreadWords};

    /// Where the word that operations follow lies among the thread's words.
    const FAST: usize = memoffset::offset_of!(ThreadWords, fast);

    // SAFETY (of the assembly): defines one object in the section for initialised thread-local data, laid out as `ThreadWords`
    // is: the address of the sentinel cache at `fast`, and zero elsewhere (null, and no slow path under way).
    core::arch::global_asm!(
        ".pushsection .tdata.neap_thread_words,\"awT\",@progbits",
        ".p2align 4",
        ".globl neap_0_1_thread_words",
        ".hidden neap_0_1_thread_words",
        ".type neap_0_1_thread_words,@object",
        ".size neap_0_1_thread_words, {size}",
        "neap_0_1_thread_words:",
        ".zero {fast}",
        ".quad {sentinel_cache}",
        ".zero {size} - {fast} - 8",
        ".popsection",
        fast = const FAST,
        size = const size_of::<ThreadWords>(),
        sentinel_cache = sym super::super::sentinel::SENTINEL_CACHE,
    );

    #[inline(always)]
    pub fn fast() -> *const ThreadCache {
        let cache: *const ThreadCache;
        // SAFETY: reads the first word of the thread's object; changes nothing.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                "mov {0}, qword ptr [rip + neap_0_1_thread_words@GOTTPOFF]",
                "mov {0}, qword ptr fs:[{0} + {fast}]",
                out(reg) cache,
                fast = const FAST,
                options(nostack, preserves_flags, readonly),
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!(
                "adrp {0}, :gottprel:neap_0_1_thread_words",
                "ldr {0}, [{0}, :gottprel_lo12:neap_0_1_thread_words]",
                "mrs {1}, tpidr_el0",
                "add {0}, {1}, {0}",
                "ldr {0}, [{0}, {fast}]",
                out(reg) cache,
                out(reg) _,
                fast = const FAST,
                options(nostack, preserves_flags, readonly),
            );
        }
        cache
    }

    #[inline]
    pub fn words() -> *const ThreadWords {
        let words: *const ThreadWords;
        // SAFETY: computes the address of the thread's object; changes nothing.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                "mov {0}, qword ptr fs:[0]",
                "add {0}, qword ptr [rip + neap_0_1_thread_words@GOTTPOFF]",
                out(reg) words,
                options(nostack, readonly),
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!(
                "adrp {0}, :gottprel:neap_0_1_thread_words",
                "ldr {0}, [{0}, :gottprel_lo12:neap_0_1_thread_words]",
                "mrs {1}, tpidr_el0",
                "add {0}, {1}, {0}",
                out(reg) words,
                out(reg) _,
                options(nostack, preserves_flags, readonly),
            );
        }
        words
    }
}

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux")))]
mod imp {
    use super::super::sentinel::SENTINEL_CACHE;
    use super::{ThreadCache, ThreadWords};
    use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

    std::thread_local! {
        static WORDS: ThreadWords = const {
            ThreadWords {
                fast: AtomicPtr::new((&raw const SENTINEL_CACHE).cast_mut()),
                own: AtomicPtr::new(core::ptr::null_mut()),
                inside: AtomicUsize::new(0),
            }
        };
    }

    #[inline(always)]
    pub fn fast() -> *const ThreadCache {
        WORDS.with(|words| words.fast.load(Ordering::Relaxed))
    }

    #[inline]
    pub fn words() -> *const ThreadWords {
        WORDS.with(core::ptr::from_ref)
    }
}

/// The cache that the calling thread's operations follow; never null.
#[inline(always)]
pub fn fast() -> *const ThreadCache {
    imp::fast()
}

/// The calling thread's words; valid as long as the thread.
#[inline]
pub fn words<'a>() -> &'a ThreadWords {
    // SAFETY: the address of the thread's own object, which lives as long as the thread; its fields are atomics.
    unsafe { &*imp::words() }
}
