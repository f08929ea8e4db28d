//! What the process's own limits leave: of address space, and of memory that may be written.
//!
//! A heap that took all of what `ulimit -v` or `ulimit -d` leaves would leave nothing for its own tables, for thread stacks,
//! and for other mappings. So growth asks first, and takes a share. Without a limit the question costs a few system calls and
//! no file.
//!
//! A limit on locked memory does not count. `mlockall` locks address space even if no memory is behind it, so under a finite limit
//! it fails for a process that reserves as much as neap does. But many systems set a finite limit for every process, and few
//! processes call `mlockall`: small reservations would slow down all of them for the sake of these few.
//!
//! Locks: none may be held, except the heap lock during growth (as in `vm`).

use super::file::read_unchecked;
use super::held::{Rank, assert_only_held};
use super::page::os_page_bytes;
use core::ffi::c_int;

/// A share is this part of what a limit leaves. The rest stays for others, and for the next share: many small steps reach the
/// limit as a few large ones would.
const SHARE: usize = 16;

/// How much address space one reservation of ours may take at most.
///
/// May be asked under the lock of growth.
pub fn address_space_share() -> usize {
    assert_only_held("prlimit64", &Rank::GROWTH);
    address_space_left() / SHARE
}

/// How much memory one step may make writable at most.
///
/// May be asked under the lock of growth.
pub fn data_share() -> usize {
    assert_only_held("prlimit64", &Rank::GROWTH);
    data_left() / SHARE
}

/// Bytes of address space that the process may still map; `usize::MAX` where nothing limits it.
fn address_space_left() -> usize {
    let Some(limit) = limit(libc::RLIMIT_AS as c_int) else { return usize::MAX };
    usize::try_from(limit.saturating_sub(used_bytes(Used::AddressSpace))).unwrap_or(usize::MAX)
}

/// Bytes that the process may still map writable, or make so; `usize::MAX` where nothing limits it.
fn data_left() -> usize {
    let Some(limit) = limit(libc::RLIMIT_DATA as c_int) else { return usize::MAX };
    usize::try_from(limit.saturating_sub(used_bytes(Used::Data))).unwrap_or(usize::MAX)
}

/// The limit in force; `None` for none, or where the kernel does not say.
fn limit(resource: c_int) -> Option<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let _saved = super::errno::Saved::new();
    // SAFETY: asks only; the kernel writes one record, which is live.
    let asked =
        unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, core::ptr::null::<libc::rlimit64>(), &raw mut limit) };
    (asked == 0 && limit.rlim_cur != libc::RLIM64_INFINITY).then_some(limit.rlim_cur)
}

/// A column of `/proc/self/statm`.
#[derive(Clone, Copy)]
enum Used {
    AddressSpace = 0,
    Data = 5,
}

/// What counts against a limit now; 0 where the kernel does not say.
fn used_bytes(what: Used) -> u64 {
    let mut buffer = [0; 128];
    let len = read_unchecked(c"/proc/self/statm", &mut buffer).unwrap_or(0);
    column(&buffer[..len], what as usize).saturating_mul(os_page_bytes() as u64)
}

/// The number in a column of a line; 0 if there is none.
fn column(text: &[u8], at: usize) -> u64 {
    let word = text.split(u8::is_ascii_whitespace).nth(at).unwrap_or_default();
    core::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_numbers() {
        let line = b"650 267 240 5 0 110 0\n";
        assert_eq!([0, 1, 5, 6, 7].map(|at| column(line, at)), [650, 267, 110, 0, 0]);
        assert_eq!(column(b"", 0), 0);
        assert_eq!(column(b"12x", 0), 0);
    }

    #[test]
    fn what_is_used_is_what_the_kernel_says() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        // Other tests map and unmap meanwhile.
        for (what, name) in [(Used::AddressSpace, "VmSize:"), (Used::Data, "VmData:")] {
            let (used, said) = (used_bytes(what) >> 20, kib(name) >> 10);
            assert!(used > 0 && used.abs_diff(said) <= said / 2 + 64, "{name} {used} {said}");
        }
    }
}
