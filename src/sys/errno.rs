//! Error numbers, and keeping the caller's `errno`.
//!
//! A C program may read `errno` after `free`; what the allocator does in between must not show.
//!
//! Locks: none.

/// A system call's error number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

/// Out of memory.
#[cfg(all(serves_c, not(loom)))]
pub const ENOMEM: Errno = Errno(libc::ENOMEM);
/// An argument makes no sense.
pub const EINVAL: Errno = Errno(libc::EINVAL);

/// Sets the calling thread's `errno`.
#[cfg(all(serves_c, not(loom)))]
pub fn set(errno: Errno) {
    // SAFETY: the location is valid for the life of the calling thread, and only that thread writes it.
    unsafe { *location() = errno.0 };
}

/// Where a release of many ranges came to a halt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stopped {
    /// So many ranges from the front have been released; the next one has not, or in part.
    pub released: usize,
    /// Why.
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

/// Restores the calling thread's `errno` when dropped.
#[cfg(not(loom))]
#[must_use]
#[derive(Debug)]
pub struct Saved {
    errno: Errno,
    /// `errno` is the thread's own: the value must not travel.
    _not_send: core::marker::PhantomData<*mut ()>,
}

#[cfg(not(loom))]
impl Saved {
    /// Notes the present value.
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
