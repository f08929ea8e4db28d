//! Random bits for one-time choices, such as the start of a search or a mask for pointers. They are not for secrets.
//!
//! Locks: the lock of growth may be held, because each reservation starts at a random place. The call never blocks.

use super::held::{Rank, assert_only_held};

/// 64 bits that differ from call to call and from process to process.
pub fn random_bits() -> u64 {
    assert_only_held("getrandom", &Rank::GROWTH);
    let mut bits = 0_u64;
    // SAFETY: the kernel writes at most eight bytes to `bits`.
    let read = unsafe { libc::syscall(libc::SYS_getrandom, &raw mut bits, size_of::<u64>(), libc::GRND_NONBLOCK) };
    if read == size_of::<u64>() as libc::c_long {
        return bits;
    }
    // Early at boot, or in a sandbox, the bits come from the time, the address of this stack and the random bytes that
    // the kernel hands to each program. The C library makes its stack guard of these bytes, so they are only used
    // mixed.
    // SAFETY: getauxval has no preconditions.
    let seed = unsafe { libc::getauxval(libc::AT_RANDOM) } as *const [u8; 8];
    // SAFETY: AT_RANDOM is null or points at 16 bytes that live as long as the process.
    let seed = unsafe { seed.as_ref() }.map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    mix(seed ^ mix(super::time::monotonic_ns()) ^ mix((&raw const bits).addr() as u64))
}

/// Spreads every bit over the whole word: multiply and fold, twice.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^ (value >> 32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn bits_differ() {
        assert_ne!(super::random_bits(), super::random_bits());
        assert_ne!(super::mix(1), super::mix(2));
    }
}
