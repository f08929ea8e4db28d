//! The three registers that a walk follows: their numbers in unwind tables, and where the kernel saves them for a signal
//! handler.
//!
//! Locks: none.

/// The frame pointer, the stack pointer and the return address, as tables number them.
#[cfg(target_arch = "x86_64")]
mod numbers {
    pub const FRAME: u64 = 6;
    pub const STACK: u64 = 7;
    pub const RET: u64 = 16;
}
#[cfg(not(target_arch = "x86_64"))]
mod numbers {
    pub const FRAME: u64 = 29;
    pub const STACK: u64 = 31;
    pub const RET: u64 = 30;
}
pub use numbers::{FRAME, RET, STACK};

/// Where the kernel puts the interrupted program counter, stack pointer, frame pointer and (on AArch64) return address: distances
/// from the stack pointer that the handler returns with. They are part of the kernel's promise to programs (`struct ucontext`).
#[cfg(target_arch = "x86_64")]
pub const SIGNAL_FRAME: [usize; 4] = [168, 160, 120, 168];
/// The same on AArch64: behind 128 bytes about the signal come 176 of the context, then the fault address, x0 and so on.
#[cfg(not(target_arch = "x86_64"))]
pub const SIGNAL_FRAME: [usize; 4] = {
    const FIRST: usize = 128 + 176 + 8;
    [FIRST + 32 * 8, FIRST + 31 * 8, FIRST + 29 * 8, FIRST + 30 * 8]
};

/// What a walk knows at a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// An address inside the frame's function: that of the next instruction.
    pub pc: usize,
    /// The stack pointer.
    pub stack: usize,
    /// The frame pointer: anything, in functions that use the register otherwise.
    pub frame: usize,
    /// The return address where it may be in a register: in the innermost frame, on AArch64. 0 elsewhere.
    pub ret: usize,
}

/// A return address without the signature that AArch64 may put into its upper bits.
pub const fn plain(address: usize) -> usize {
    if cfg!(target_arch = "x86_64") { address } else { address & ((1 << 48) - 1) }
}
