//! The clock.
//!
//! Locks: any may be held. The C library answers from memory that the kernel shares, without a system call.

/// Nanoseconds since some fixed point. The clock never goes back, and stands still while the machine sleeps.
#[inline]
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// A clock's value; 0 for a clock that does not exist.
pub(super) fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which is live.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::monotonic_ns;

    #[test]
    fn time_passes() {
        let start = monotonic_ns();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let passed = monotonic_ns() - start;
        assert!((2_000_000..60_000_000_000).contains(&passed), "{passed} ns");
    }
}
