//! The words of thread-local storage ([`ThreadWords`]).
//!
//! On x86-64 and AArch64 the words are a symbol of our own in the initial-exec model. A read of `fast` is two
//! instructions on x86-64, in an executable, in a shared library and under LD_PRELOAD. Rejected there: `thread_local!`, which
//! is a call in a shared library. The words are few enough to fit into the space that the loader keeps for libraries that are
//! opened later. `build.rs` makes the symbol's name from the package's name and version, so a program may hold two versions.
//! Elsewhere the words are a `thread_local!` with a constant initialiser and without a destructor, which neither allocates nor
//! registers anything.
//!
//! The assembly is not `pure`: a drainer and the thread's own slow path change `fast`, so the compiler must not keep a value
//! from one operation to the next.
//!
//! Orderings: a plain load, or Relaxed. Loads through `fast` depend on its value, and the stores to it are Release. The
//! drainer's barrier orders the load against the drainer (see `thread_cache`).
//!
//! Locks: none.

use crate::caches::{ThreadCache, ThreadWords};

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod imp {
    use super::{ThreadCache, ThreadWords};

    /// The name of the object in thread-local storage.
    macro_rules! symbol {
        () => {
            env!("THREAD_WORDS_SYMBOL")
        };
    }

    /// The offset of `fast` in the thread's words.
    const FAST: usize = memoffset::offset_of!(ThreadWords, fast);

    // SAFETY (of the assembly): it defines one object in the section for initialised thread-local data. The object has the
    // layout of `ThreadWords`: `fast` is the address of the sentinel cache, all else is zero (null, and no slow path under way).
    core::arch::global_asm!(
        ".pushsection .tdata.neap_thread_words,\"awT\",@progbits",
        ".p2align 4",
        concat!(".globl ", symbol!()),
        concat!(".hidden ", symbol!()),
        concat!(".type ", symbol!(), ",@object"),
        concat!(".size ", symbol!(), ", {size}"),
        concat!(symbol!(), ":"),
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
        // SAFETY: the assembly reads a word of the thread's object, and changes nothing.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                concat!("mov {0}, qword ptr [rip + ", symbol!(), "@GOTTPOFF]"),
                "mov {0}, qword ptr fs:[{0} + {fast}]",
                out(reg) cache,
                fast = const FAST,
                options(nostack, preserves_flags, readonly),
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!(
                concat!("adrp {0}, :gottprel:", symbol!()),
                concat!("ldr {0}, [{0}, :gottprel_lo12:", symbol!(), "]"),
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
        // SAFETY: the assembly computes the address of the thread's object, and changes nothing.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                "mov {0}, qword ptr fs:[0]",
                concat!("add {0}, qword ptr [rip + ", symbol!(), "@GOTTPOFF]"),
                out(reg) words,
                options(nostack, readonly),
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!(
                concat!("adrp {0}, :gottprel:", symbol!()),
                concat!("ldr {0}, [{0}, :gottprel_lo12:", symbol!(), "]"),
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

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
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

/// The cache that the calling thread's operations follow. Never null.
#[inline(always)]
pub fn fast() -> *const ThreadCache {
    imp::fast()
}

/// The calling thread's words. They are valid as long as the thread lives.
#[inline]
pub fn words<'a>() -> &'a ThreadWords {
    // SAFETY: the address is of the thread's own object, which lives as long as the thread. Its fields are atomics.
    unsafe { &*imp::words() }
}
