//! A value on cache lines of its own.
//!
//! 128 bytes: x86-64 fetches lines in pairs and some AArch64 cores have lines of that size. A lock beside hot fields
//! without this once cost a real server a sixth of its throughput.
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
