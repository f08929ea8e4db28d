//! Touching free memory just before a process starts.
//!
//! Many virtual machines report free memory to their host, and the host takes it away (free page reporting). The first
//! touch of such memory makes the host find memory again, which costs far more than clearing a huge page. The first
//! process that asks for huge pages would pay for all. So the time of a process would depend on what ran a second ago.
//! The driver therefore touches as much memory as the next process will need, and frees it again; the kernel hands out
//! first what was freed last. On a machine without a host this changes nothing.

use super::options::Options;
use super::sampling;

/// Memory that is left alone, for whatever else runs on the machine.
const RESERVE: u64 = 2 << 30;
/// Least and most that is touched.
const LEAST: u64 = 64 << 20;
const MOST: u64 = 2 << 30;

/// Whether this is a virtual machine.
pub fn is_virtual() -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// Whether free memory is touched before each process.
pub fn is_wanted(options: &Options) -> bool {
    !options.cold && is_virtual()
}

/// How much to touch for a process with a peak of `peak_bytes`: half as much again, within the bounds and within what the
/// machine can spare.
fn amount(peak_bytes: u64, available: u64) -> u64 {
    (peak_bytes + peak_bytes / 2).clamp(LEAST, MOST).min(available.saturating_sub(RESERVE))
}

/// Touches free memory for a process that is expected to need `peak_bytes`, and frees it again.
pub fn up(peak_bytes: u64) {
    let bytes = amount(peak_bytes, sampling::available_bytes()) as usize;
    if bytes == 0 {
        return;
    }
    // SAFETY: a new private mapping, written inside its bounds only, and unmapped when nobody refers to it.
    unsafe {
        let address = libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if address == libc::MAP_FAILED {
            return;
        }
        // Advice only: without huge pages it takes longer.
        libc::madvise(address, bytes, libc::MADV_HUGEPAGE);
        for at in (0..bytes).step_by(4096) {
            address.cast::<u8>().add(at).write_volatile(1);
        }
        libc::munmap(address, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_bounded() {
        let plenty = 100 << 30;
        assert_eq!(amount(0, plenty), LEAST);
        assert_eq!(amount(1 << 30, plenty), 3 << 29);
        assert_eq!(amount(1 << 40, plenty), MOST);
        assert_eq!(amount(1 << 30, RESERVE + 7), 7);
        assert_eq!(amount(1 << 30, 0), 0);
    }
}
