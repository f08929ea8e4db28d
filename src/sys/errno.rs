//! Error numbers, and the caller's `errno`.
//!
//! A C program may read `errno` after `free`, so the allocator's own system calls must not change it.
//!
//! Locks: none.

/// A system call's error number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

/// There is no memory.
#[cfg(all(serves_c, not(loom)))]
pub const ENOMEM: Errno = Errno(libc::ENOMEM);
/// An argument is not valid.
pub const EINVAL: Errno = Errno(libc::EINVAL);

/// Sets the calling thread's `errno`.
#[cfg(all(serves_c, not(loom)))]
pub fn set(errno: Errno) {
    // SAFETY: the location is valid for the life of the calling thread, and only that thread writes it.
    unsafe { *location() = errno.0 };
}

/// Where and why a release of many ranges stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stopped {
    /// The number of released ranges, from the first one on. The next range may be released in part.
    pub released: usize,
    /// The error of the next range.
    pub errno: Errno,
}

#[cfg(not(loom))]
impl Errno {
    /// The calling thread's last error.
    #[inline]
    pub fn last() -> Self {
        // SAFETY: the location is valid for the life of the calling thread.
        Self(unsafe { *location() })
    }
}

/// The thread's `errno` at one moment; dropping the value restores it.
#[cfg(not(loom))]
#[must_use]
#[derive(Debug)]
pub struct Saved {
    errno: Errno,
    /// `errno` belongs to a thread, so the value must stay on its thread.
    _not_send: core::marker::PhantomData<*mut ()>,
}

#[cfg(not(loom))]
impl Saved {
    /// Reads the present `errno`.
    #[inline]
    pub fn new() -> Self {
        Self { errno: Errno::last(), _not_send: core::marker::PhantomData }
    }
}

#[cfg(not(loom))]
impl Drop for Saved {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the location is valid for the life of the calling thread, and only that thread writes it.
        unsafe { *location() = self.errno.0 };
    }
}

#[cfg(not(loom))]
#[inline]
fn location() -> *mut i32 {
    // SAFETY: the call has no preconditions.
    unsafe { libc::__errno_location() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Errno, Saved};

    #[test]
    fn a_failed_call_leaves_no_trace() {
        let before = Errno::last();
        let saved = Saved::new();
        // SAFETY: closing a number that is no descriptor only fails.
        assert_eq!(unsafe { libc::close(-1) }, -1);
        assert_eq!(Errno::last(), Errno(libc::EBADF));
        drop(saved);
        assert_eq!(Errno::last(), before);
    }
}
