//! A path with its closing zero, joined on the stack.
//!
//! Locks: none.

use core::ffi::CStr;

/// The longest path, with its zero: room for the cgroups of nested containers.
const MAX_BYTES: usize = 512;

/// A path in a fixed buffer.
#[derive(Clone, Copy)]
pub struct Path {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl Path {
    /// The parts, one after the other. `None` if they are too long or hold a zero.
    pub fn join(parts: &[&[u8]]) -> Option<Self> {
        let mut path = Self { bytes: [0; MAX_BYTES], len: 0 };
        for part in parts {
            let end = path.len.checked_add(part.len())?;
            if end >= MAX_BYTES || part.contains(&0) {
                return None;
            }
            path.bytes[path.len..end].copy_from_slice(part);
            path.len = end;
        }
        Some(path)
    }

    /// The path as a C string.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl core::fmt::Debug for Path {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_c_str().fmt(f)
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.as_c_str() == other.as_c_str()
    }
}

impl Eq for Path {}
