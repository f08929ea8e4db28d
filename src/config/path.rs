//! A path put together on the stack, with its closing zero.
//!
//! Locks: none.

use core::ffi::CStr;

/// Longest path, the zero included: cgroups of nested containers take about 250 bytes.
const MOST: usize = 512;

/// A path in a fixed buffer.
#[derive(Clone, Copy)]
pub struct Path {
    bytes: [u8; MOST],
    len: usize,
}

impl Path {
    /// The parts, one after the other; `None` where they are too long or hold a zero.
    pub fn join(parts: &[&[u8]]) -> Option<Self> {
        let mut path = Self { bytes: [0; MOST], len: 0 };
        for part in parts {
            let end = path.len.checked_add(part.len())?;
            if end >= MOST || part.contains(&0) {
                return None;
            }
            path.bytes[path.len..end].copy_from_slice(part);
            path.len = end;
        }
        Some(path)
    }

    /// As the system calls want it.
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
