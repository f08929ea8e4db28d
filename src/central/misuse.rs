//! Misuse: a free that cannot be right. It ends the process.
//!
//! Locks: none. No lock is held when [`or_abort`] is called.

use crate::size_class::ClassInfo;
use crate::sys;

/// A free that cannot be right, with the address that was freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misuse {
    /// The address is in no live span, or is not the start of a slot of the class.
    Foreign(usize),
    /// The slot is free already.
    DoubleFree(usize),
}

/// What is wrong with a freed address that lies `offset` bytes into a span and could not be given back. An address that is
/// no slot lies inside a slot or behind the last slot. Or the tag led to a span that does not hold the address, because
/// another thread retires the span at this moment.
#[cold]
pub(super) fn misuse(info: &ClassInfo, address: usize, offset: usize) -> Misuse {
    match info.slot_at(offset) {
        Some(_) => Misuse::DoubleFree(address),
        None => Misuse::Foreign(address),
    }
}

/// Ends the process with one line on stderr if a free was a misuse.
pub fn or_abort<T>(result: Result<T, Misuse>) -> T {
    match result {
        Ok(value) => value,
        Err(Misuse::DoubleFree(address)) => sys::fatal!("central", "double free of {address:#x}"),
        Err(Misuse::Foreign(address)) => {
            sys::fatal!("central", "free of {address:#x}, which is not an object of this heap or has another layout")
        }
    }
}
