//! Small kernel files (`/proc`, `/sys`, cgroup), read into a buffer on the stack.
//!
//! The system calls are raw. The C library's `open` and `read` are cancellation points, and some preloaded libraries
//! replace them; an allocator wants neither.
//!
//! Locks: none may be held.

use super::errno::{Errno, Saved};
use super::held::assert_none_held;
use core::ffi::{CStr, c_long};

/// Reads the start of a file into `buffer` and returns the number of bytes read. `None` if the file cannot be opened or
/// read. A file longer than the buffer is cut.
pub fn read_small(path: &CStr, buffer: &mut [u8]) -> Option<usize> {
    assert_none_held("read");
    let _saved = Saved::new();
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a live C string.
    let file = retry(|| unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) });
    if file < 0 {
        return None;
    }
    let mut len = 0;
    let result = loop {
        let rest = &mut buffer[len..];
        if rest.is_empty() {
            break Some(len);
        }
        // SAFETY: the kernel writes at most `rest.len()` bytes to the live slice.
        match retry(|| unsafe { libc::syscall(libc::SYS_read, file, rest.as_mut_ptr(), rest.len()) }) {
            0 => break Some(len),
            read if read > 0 => len += read as usize,
            _ => break None,
        }
    };
    // SAFETY: the descriptor was opened above and belongs to this call. A close that is interrupted has closed it too.
    unsafe { libc::syscall(libc::SYS_close, file) };
    result
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
