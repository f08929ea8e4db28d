//! The loom switch: the only folder that names `core::sync::atomic`, and the way to loom's types.
//!
//! The code above imports atomics and cells from here. It is compiled with the real types or, in the package
//! loom-tests, with loom's. Two differences of loom's types shape this interface. Their constructors are not `const`,
//! hence `const_unless_loom!` and `repeat!`. All-zero bytes are no valid value of them, hence [`plain`].
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the atomics that loom models, fences, the two macros |
//! | `plain` | atomics that loom does not see |
//! | `cell` | an `UnsafeCell` with loom's interface |
//! | `queue` | a futex's queue of sleepers, for models |
//!
//! Locks: none. Never: policy.

mod cell;
pub mod plain;
#[cfg(loom)]
pub(crate) mod queue;

pub use cell::UnsafeCell;

/// Atomics that loom models.
pub mod atomic {
    #[cfg(not(loom))]
    pub use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
    #[cfg(loom)]
    pub use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

/// Keeps the compiler from moving memory accesses over this point, for signal handlers on the same thread.
#[inline(always)]
pub fn signal_fence() {
    core::sync::atomic::compiler_fence(atomic::Ordering::SeqCst);
}

/// Tells the processor that this is a spin loop. Under loom another thread runs.
#[inline]
pub fn spin_loop() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::hint::spin_loop();
}

/// Declares functions that are `const`, except under loom, whose constructors run code.
///
/// The functions have no generic parameters of their own; their `impl` may have some.
macro_rules! const_unless_loom {
    ($(
        $(#[$attribute:meta])*
        $vis:vis fn $name:ident ( $($args:tt)* ) $(-> $ret:ty)? $body:block
    )*) => {$(
        #[cfg(not(loom))]
        $(#[$attribute])*
        $vis const fn $name($($args)*) $(-> $ret)? $body

        #[cfg(loom)]
        $(#[$attribute])*
        $vis fn $name($($args)*) $(-> $ret)? $body
    )*};
}
pub(crate) use const_unless_loom;

/// `[value; N]` for a value that is not `Copy`. The expression is a constant, except under loom, which evaluates it `N`
/// times.
#[allow(unused_macros, reason = "a tool for the layers above, whichever of them needs it")]
macro_rules! repeat {
    ($value:expr; $count:expr) => {{
        #[cfg(not(loom))]
        let array = [const { $value }; $count];
        #[cfg(loom)]
        let array: [_; $count] = ::core::array::from_fn(|_| $value);
        array
    }};
}
#[allow(unused_imports, reason = "a tool for the layers above, whichever of them needs it")]
pub(crate) use repeat;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::atomic::{AtomicU32, Ordering};

    struct Counters {
        words: [AtomicU32; 3],
    }

    impl Counters {
        const_unless_loom! {
            /// Counters that start at one.
            fn ones() -> Self {
                Self { words: repeat![AtomicU32::new(1); 3] }
            }

            fn len(&self) -> usize {
                self.words.len()
            }
        }
    }

    #[test]
    fn arrays_of_atomics_are_constants() {
        static COUNTERS: Counters = Counters::ones();
        COUNTERS.words[1].fetch_add(1, Ordering::Relaxed);
        let values: [u32; 3] = core::array::from_fn(|i| COUNTERS.words[i].load(Ordering::Relaxed));
        assert_eq!((values, COUNTERS.len()), ([1, 2, 1], 3));
    }
}
