//! Small kernel files (`/proc`, `/sys`, cgroup), read into a buffer on the stack.
//!
//! The system calls are raw. The C library's `open` and `read` are cancellation points, and some preloaded libraries
//! replace them; an allocator wants neither.
//!
//! Locks: none may be held.

use super::errno::{Errno, Saved};
use super::held::assert_none_held;
use core::ffi::{CStr, c_long};

/// An open file; closed when dropped.
#[derive(Debug)]
pub struct File(c_long);

impl File {
    /// Opens a file for reading.
    #[cfg(any(test, feature = "internals"))]
    pub fn open(path: &CStr) -> Option<Self> {
        assert_none_held("open");
        Self::open_unchecked(path)
    }

    fn open_unchecked(path: &CStr) -> Option<Self> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: the path is a live C string.
        let file = retry(|| unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) });
        (file >= 0).then_some(Self(file))
    }

    /// Reads what comes next into `buffer`; 0 at the end, `None` if it cannot be read.
    #[cfg(any(test, feature = "internals"))]
    pub fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        assert_none_held("read");
        self.read_unchecked(buffer)
    }

    fn read_unchecked(&self, buffer: &mut [u8]) -> Option<usize> {
        // SAFETY: the kernel writes at most `buffer.len()` bytes to the live slice.
        let read = retry(|| unsafe { libc::syscall(libc::SYS_read, self.0, buffer.as_mut_ptr(), buffer.len()) });
        usize::try_from(read).ok()
    }

    /// Asks the file's driver for something; what it answers, negative if it refuses.
    ///
    /// # Safety
    /// The kernel may read and write through `argument` what the request says.
    #[cfg(any(test, feature = "internals"))]
    pub unsafe fn control(&self, request: u64, argument: *mut core::ffi::c_void) -> c_long {
        assert_none_held("ioctl");
        // SAFETY: the caller's contract.
        unsafe { libc::syscall(libc::SYS_ioctl, self.0, request, argument) }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor was opened above and is nobody else's. A close is never retried: it is closed even so.
        unsafe { libc::syscall(libc::SYS_close, self.0) };
    }
}

/// Reads the start of a file into `buffer` and returns how many bytes it holds now. `None` if the file cannot be opened or
/// read. A file that is longer than the buffer is cut.
pub fn read_small(path: &CStr, buffer: &mut [u8]) -> Option<usize> {
    assert_none_held("read");
    read_unchecked(path, buffer)
}

/// The same for a caller that asserts itself which locks its thread holds.
pub(super) fn read_unchecked(path: &CStr, buffer: &mut [u8]) -> Option<usize> {
    let _saved = Saved::new();
    let file = File::open_unchecked(path)?;
    let mut len = 0;
    while len < buffer.len() {
        match file.read_unchecked(&mut buffer[len..])? {
            0 => break,
            read => len += read,
        }
    }
    Some(len)
}

/// Repeats a call while a signal interrupts it.
fn retry(mut call: impl FnMut() -> c_long) -> c_long {
    loop {
        let result = call();
        if result >= 0 || Errno::last() != Errno(libc::EINTR) {
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read_small;

    #[test]
    fn reads_a_kernel_file() {
        let mut buffer = [0; 64];
        let len = read_small(c"/proc/self/comm", &mut buffer).unwrap();
        assert_eq!(&buffer[..len], std::fs::read("/proc/self/comm").unwrap());
    }

    #[test]
    fn cuts_what_does_not_fit() {
        let mut buffer = [0; 5];
        assert_eq!(read_small(c"/proc/self/status", &mut buffer), Some(5));
        assert_eq!(&buffer, b"Name:");
    }

    #[test]
    fn a_missing_file_is_none_and_leaves_errno_alone() {
        let before = super::Errno::last();
        assert_eq!(read_small(c"/proc/self/no-such-file", &mut [0; 8]), None);
        assert_eq!(super::Errno::last(), before);
        assert_eq!(read_small(c"/proc", &mut [0; 8]), None);
    }
}
