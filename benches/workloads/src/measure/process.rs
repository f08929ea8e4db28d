//! The process' memory as the kernel tells it, read through stack buffers.

use std::ffi::CStr;

/// Reads a small file of /proc into `buffer`.
fn read(path: &CStr, buffer: &mut [u8]) -> usize {
    // SAFETY: the path ends in zero, the buffer is ours, and the descriptor is closed.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return 0;
        }
        let count = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(file);
        count.max(0) as usize
    }
}

/// The first number after `key`.
fn number_after(text: &[u8], key: &[u8]) -> Option<u64> {
    let at = text.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = text[at..].iter().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn status_bytes(key: &[u8]) -> u64 {
    let mut buffer = [0u8; 4096];
    let count = read(c"/proc/self/status", &mut buffer);
    number_after(&buffer[..count], key).unwrap_or(0) * 1024
}

/// Resident memory now.
pub fn rss_bytes() -> u64 {
    status_bytes(b"VmRSS:")
}

/// The largest resident memory so far.
pub fn peak_rss_bytes() -> u64 {
    status_bytes(b"VmHWM:")
}

/// Writes a line to standard output without allocating.
pub fn write_line(text: &str) {
    for part in [text.as_bytes(), b"\n"] {
        // SAFETY: the bytes are ours. A lost line shows as a missing result.
        unsafe { libc::write(1, part.as_ptr().cast(), part.len()) };
    }
}

/// Moves this process into the cgroup at `directory`.
pub fn join_cgroup(directory: &str) -> std::io::Result<()> {
    std::fs::write(std::path::Path::new(directory).join("cgroup.procs"), "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found() {
        assert_eq!(number_after(b"VmHWM:\t   123 kB\nVmRSS:\t    45 kB\n", b"VmRSS:"), Some(45));
        assert_eq!(number_after(b"VmHWM:\t   123 kB\n", b"VmRSS:"), None);
        assert!(rss_bytes() > 100 << 10);
        assert!(peak_rss_bytes() >= rss_bytes() / 2);
    }
}
