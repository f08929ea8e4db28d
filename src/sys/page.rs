//! The kernel's page size.
//!
//! Locks: any may be held. The value is read once, from memory that the kernel hands over at program start.

use core::num::NonZeroUsize;
use once_cell::race::OnceNonZeroUsize;

/// Bytes in an OS page: 4 KiB on x86-64; 4, 16 or 64 KiB on AArch64.
#[inline]
pub fn os_page_bytes() -> usize {
    static BYTES: OnceNonZeroUsize = OnceNonZeroUsize::new();
    BYTES.get_or_init(read).get()
}

#[cold]
fn read() -> NonZeroUsize {
    // SAFETY: getauxval reads the auxiliary vector and has no preconditions. It returns 0 for an unknown key.
    let bytes = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    const SMALLEST: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
    NonZeroUsize::new(bytes).filter(|bytes| bytes.is_power_of_two()).unwrap_or(SMALLEST)
}

#[cfg(test)]
mod tests {
    #[test]
    fn agrees_with_the_c_library() {
        // SAFETY: sysconf has no preconditions.
        let expected = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        assert_eq!(super::os_page_bytes() as i64, expected);
    }
}
