//! A value on cache lines of its own.
//!
//! The alignment is 128 bytes, because x86-64 fetches lines in pairs and some AArch64 cores have lines of that size.
//! Without padding, a lock beside hot fields takes their line from every other core.
//!
//! Locks: none.

use core::ops::{Deref, DerefMut};

/// A value that shares no cache line with anything else.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CachePadded<T>(T);

impl<T> CachePadded<T> {
    /// Pads `value`.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for CachePadded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for CachePadded<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

const _: () = assert!(size_of::<CachePadded<u8>>() == 128 && align_of::<CachePadded<u8>>() == 128);
