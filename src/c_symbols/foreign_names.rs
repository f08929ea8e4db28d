//! The C library's second names of its functions. Few programs call them. Without them, a program that takes memory by a second
//! name and gives it to `free` would mix two heaps.
//!
//! Locks: none of its own.

#![cfg(target_env = "gnu")]

use core::ffi::{c_int, c_void};

use super::{aligned, basic};

macro_rules! second_names {
    ($($name:ident = $module:ident::$function:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {$(
        #[doc = concat!("glibc's second name of `", stringify!($function), "`.")]
        ///
        /// # Safety
        /// As for the function with the first name.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($argument: $kind),*) $(-> $result)? {
            #[allow(unused_unsafe, reason = "only some of the functions are unsafe")]
            // SAFETY: the caller's contract.
            unsafe { $module::$function($($argument),*) }
        }
    )*};
}

second_names! {
    __libc_malloc = basic::malloc(size: usize) -> *mut c_void;
    __libc_calloc = basic::calloc(count: usize, size: usize) -> *mut c_void;
    __libc_realloc = basic::realloc(object: *mut c_void, size: usize) -> *mut c_void;
    __libc_reallocarray = basic::reallocarray(object: *mut c_void, count: usize, size: usize) -> *mut c_void;
    __libc_free = basic::free(object: *mut c_void);
    cfree = basic::free(object: *mut c_void);
    __libc_memalign = aligned::memalign(align: usize, size: usize) -> *mut c_void;
    __libc_valloc = aligned::valloc(size: usize) -> *mut c_void;
    __libc_pvalloc = aligned::pvalloc(size: usize) -> *mut c_void;
    __posix_memalign = aligned::posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int;
}
