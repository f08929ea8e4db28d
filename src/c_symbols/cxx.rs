//! C++'s operator new and delete in all forms.
//!
//! A form that throws is a few instructions of assembly around a call that does not throw. If the call returns null, the
//! assembly calls the program's new-handler, or the C++ runtime's function that throws `std::bad_alloc`. Both may throw. Then
//! only assembly with its unwind tables lies between the exception and its catcher: no Rust frame is unwound. Both functions are
//! looked up when an allocation fails, so this library needs no C++ runtime. If no runtime can be found (it was linked into
//! the program, and its names are hidden), the process ends with one line.
//!
//! A form that does not throw must call the new-handler, too. The runtime's own form does this: it calls our form that throws,
//! and catches the exception.
//!
//! The sizes and alignments that delete gets are not used; see `by_address`.
//!
//! Locks: none of its own.

#![cfg_attr(test, allow(non_snake_case, reason = "the names are mangled ones"))]

use core::arch::naked_asm;
use core::ffi::{CStr, c_void};
use core::mem::transmute;

use crate::global::by_address;
use crate::sys;

use super::ALIGN;

/// The C++ runtimes, by the names of their shared libraries.
const RUNTIMES: [&CStr; 2] = [c"libstdc++.so.6", c"libc++.so.1"];

/// A function without arguments: a new-handler, or a function that throws.
type Handler = extern "C" fn();

/// A form of operator new that does not throw.
type Quiet = unsafe extern "C" fn(size: usize, nothrow: *const c_void) -> *mut c_void;
/// A form of operator new with an alignment that does not throw.
type QuietAligned = unsafe extern "C" fn(size: usize, align: usize, nothrow: *const c_void) -> *mut c_void;

extern "C" fn allocate(size: usize) -> *mut u8 {
    let object = by_address::allocate_at_hand(size);
    if object.is_null() { allocate_slow(size) } else { object }
}

#[cold]
#[inline(never)]
extern "C" fn allocate_slow(size: usize) -> *mut u8 {
    by_address::allocate_slow(size, ALIGN)
}

extern "C" fn allocate_aligned(size: usize, align: usize) -> *mut u8 {
    if align.is_power_of_two() { by_address::allocate(size, align.max(ALIGN)) } else { core::ptr::null_mut() }
}

/// The program's new-handler, if it has set one.
fn new_handler() -> Option<Handler> {
    let get = sys::symbol::find(&RUNTIMES, c"_ZSt15get_new_handlerv");
    if get.is_null() {
        return None;
    }
    // SAFETY: the function is `std::new_handler std::get_new_handler() noexcept`; a null handler is `None`.
    unsafe { transmute::<*mut c_void, extern "C" fn() -> Option<Handler>>(get)() }
}

/// The function to call when there is no memory. It makes room and returns, or it throws. Never null.
#[cold]
extern "C" fn remedy() -> Handler {
    if let Some(handler) = new_handler() {
        return handler;
    }
    let throw = sys::symbol::find(&RUNTIMES, c"_ZSt17__throw_bad_allocv");
    if throw.is_null() {
        return give_up;
    }
    // SAFETY: the function is `void std::__throw_bad_alloc()`.
    unsafe { transmute::<*mut c_void, Handler>(throw) }
}

/// Ends the process: there is neither memory nor a C++ runtime.
extern "C" fn give_up() {
    sys::fatal!("c++", "operator new is out of memory, and no C++ runtime was found that could throw bad_alloc")
}

/// The C++ runtime's own form of an operator new that does not throw. Null if it has nothing to call: the program has set no
/// new-handler.
#[cold]
fn quiet(name: &CStr) -> *mut c_void {
    if new_handler().is_none() {
        return core::ptr::null_mut();
    }
    sys::symbol::find_in(&RUNTIMES, name)
}

macro_rules! throwing {
    ($($name:ident)*) => {$(
        /// Operator new that throws.
        ///
        /// # Safety
        /// None; it is unsafe because it may throw.
        #[unsafe(naked)]
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(_size: usize) -> *mut c_void {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                ".cfi_startproc",
                "push rbx",
                ".cfi_def_cfa_offset 16",
                ".cfi_offset rbx, -16",
                "mov rbx, rdi",
                "2:",
                "call {allocate}",
                "test rax, rax",
                "je 3f",
                "pop rbx",
                ".cfi_remember_state",
                ".cfi_def_cfa_offset 8",
                "ret",
                "3:",
                ".cfi_restore_state",
                "call {remedy}",
                "call rax",
                "mov rdi, rbx",
                "jmp 2b",
                ".cfi_endproc",
                allocate = sym allocate,
                remedy = sym remedy,
            );
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                ".cfi_startproc",
                "stp x29, x30, [sp, #-32]!",
                ".cfi_def_cfa_offset 32",
                ".cfi_offset x29, -32",
                ".cfi_offset x30, -24",
                "str x19, [sp, #16]",
                ".cfi_offset x19, -16",
                "mov x19, x0",
                "2:",
                "bl {allocate}",
                "cbz x0, 3f",
                "ldr x19, [sp, #16]",
                "ldp x29, x30, [sp], #32",
                ".cfi_remember_state",
                ".cfi_def_cfa_offset 0",
                ".cfi_restore x19",
                ".cfi_restore x29",
                ".cfi_restore x30",
                "ret",
                "3:",
                ".cfi_restore_state",
                "bl {remedy}",
                "blr x0",
                "mov x0, x19",
                "b 2b",
                ".cfi_endproc",
                allocate = sym allocate,
                remedy = sym remedy,
            );
        }
    )*};
}

throwing! { _Znwm _Znam }

macro_rules! throwing_aligned {
    ($($name:ident)*) => {$(
        /// Operator new that throws, with an alignment.
        ///
        /// # Safety
        /// None; it is unsafe because it may throw.
        #[unsafe(naked)]
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(_size: usize, _align: usize) -> *mut c_void {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                ".cfi_startproc",
                "push rbx",
                ".cfi_def_cfa_offset 16",
                ".cfi_offset rbx, -16",
                "push r12",
                ".cfi_def_cfa_offset 24",
                ".cfi_offset r12, -24",
                "sub rsp, 8",
                ".cfi_def_cfa_offset 32",
                "mov rbx, rdi",
                "mov r12, rsi",
                "2:",
                "call {allocate}",
                "test rax, rax",
                "je 3f",
                "add rsp, 8",
                ".cfi_remember_state",
                ".cfi_def_cfa_offset 24",
                "pop r12",
                ".cfi_def_cfa_offset 16",
                "pop rbx",
                ".cfi_def_cfa_offset 8",
                "ret",
                "3:",
                ".cfi_restore_state",
                "call {remedy}",
                "call rax",
                "mov rdi, rbx",
                "mov rsi, r12",
                "jmp 2b",
                ".cfi_endproc",
                allocate = sym allocate_aligned,
                remedy = sym remedy,
            );
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                ".cfi_startproc",
                "stp x29, x30, [sp, #-32]!",
                ".cfi_def_cfa_offset 32",
                ".cfi_offset x29, -32",
                ".cfi_offset x30, -24",
                "stp x19, x20, [sp, #16]",
                ".cfi_offset x19, -16",
                ".cfi_offset x20, -8",
                "mov x19, x0",
                "mov x20, x1",
                "2:",
                "bl {allocate}",
                "cbz x0, 3f",
                "ldp x19, x20, [sp, #16]",
                "ldp x29, x30, [sp], #32",
                ".cfi_remember_state",
                ".cfi_def_cfa_offset 0",
                ".cfi_restore x19",
                ".cfi_restore x20",
                ".cfi_restore x29",
                ".cfi_restore x30",
                "ret",
                "3:",
                ".cfi_restore_state",
                "bl {remedy}",
                "blr x0",
                "mov x0, x19",
                "mov x1, x20",
                "b 2b",
                ".cfi_endproc",
                allocate = sym allocate_aligned,
                remedy = sym remedy,
            );
        }
    )*};
}

throwing_aligned! { _ZnwmSt11align_val_t _ZnamSt11align_val_t }

macro_rules! quiet {
    ($($name:ident)*) => {$(
        /// Operator new that does not throw.
        ///
        /// # Safety
        /// The second argument is `std::nothrow`.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(size: usize, nothrow: *const c_void) -> *mut c_void {
            let object = allocate(size);
            if object.is_null() {
                // SAFETY: the text ends with a zero byte.
                let name = const { unsafe { CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) } };
                let runtimes = quiet(name);
                if !runtimes.is_null() {
                    // SAFETY: the function is the same operator in the C++ runtime.
                    return unsafe { transmute::<*mut c_void, Quiet>(runtimes)(size, nothrow) };
                }
            }
            object.cast()
        }
    )*};
}

quiet! { _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t }

macro_rules! quiet_aligned {
    ($($name:ident)*) => {$(
        /// Operator new that does not throw, with an alignment.
        ///
        /// # Safety
        /// The last argument is `std::nothrow`.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(size: usize, align: usize, nothrow: *const c_void) -> *mut c_void {
            let object = allocate_aligned(size, align);
            if object.is_null() {
                // SAFETY: the text ends with a zero byte.
                let name = const { unsafe { CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) } };
                let runtimes = quiet(name);
                if !runtimes.is_null() {
                    // SAFETY: the function is the same operator in the C++ runtime.
                    return unsafe { transmute::<*mut c_void, QuietAligned>(runtimes)(size, align, nothrow) };
                }
            }
            object.cast()
        }
    )*};
}

quiet_aligned! { _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t }

macro_rules! delete {
    ($($name:ident($($argument:ident: $kind:ty),*))*) => {$(
        /// Operator delete.
        ///
        /// # Safety
        /// The object is null or the caller's.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(object: *mut c_void, $($argument: $kind),*) {
            // SAFETY: the caller's contract.
            unsafe { by_address::free(object.cast()) }
        }
    )*};
}

delete! {
    _ZdlPv()
    _ZdaPv()
    _ZdlPvm(_size: usize)
    _ZdaPvm(_size: usize)
    _ZdlPvSt11align_val_t(_align: usize)
    _ZdaPvSt11align_val_t(_align: usize)
    _ZdlPvmSt11align_val_t(_size: usize, _align: usize)
    _ZdaPvmSt11align_val_t(_size: usize, _align: usize)
    _ZdlPvRKSt9nothrow_t(_nothrow: *const c_void)
    _ZdaPvRKSt9nothrow_t(_nothrow: *const c_void)
    _ZdlPvSt11align_val_tRKSt9nothrow_t(_align: usize, _nothrow: *const c_void)
    _ZdaPvSt11align_val_tRKSt9nothrow_t(_align: usize, _nothrow: *const c_void)
}
