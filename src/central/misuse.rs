//! A free that cannot be right, and how it ends the process.
//!
//! Locks: none; [`or_abort`] wants none held.

use crate::size_class::ClassInfo;
use crate::sys;

/// A free that cannot be right, with the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misuse {
    /// The address is in no live span, or is not the start of a slot of the class.
    Foreign(usize),
    /// The slot is free already.
    DoubleFree(usize),
}

/// What is wrong with an address that could not be given back to the span it lies `offset` bytes into. If it is no slot there, it lies
/// inside one or behind the last, or the tag led to a span that does not hold it: that is retired just now.
#[cold]
pub(super) fn misuse(info: &ClassInfo, address: usize, offset: usize) -> Misuse {
    match info.slot_at(offset) {
        Some(_) => Misuse::DoubleFree(address),
        None => Misuse::Foreign(address),
    }
}

/// Ends the process with one line if a free was a misuse.
pub fn or_abort<T>(result: Result<T, Misuse>) -> T {
    match result {
        Ok(value) => value,
        Err(Misuse::DoubleFree(address)) => sys::fatal!("central", "double free of {address:#x}"),
        Err(Misuse::Foreign(address)) => {
            sys::fatal!("central", "free of {address:#x}, which is not an object of this heap or has another layout")
        }
    }
}
