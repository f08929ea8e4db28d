//! A small fast random number generator with fixed seeds: the same stream for every allocator.

/// SplitMix64: one addition and three multiplications or shifts a number.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66_D1CE_5EED)
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..end` (`end` below 2^32, not zero).
    #[inline]
    pub fn below(&mut self, end: usize) -> usize {
        (((self.bits() >> 32) * end as u64) >> 32) as usize
    }

    /// A number in `start..end`.
    #[inline]
    pub fn between(&mut self, start: usize, end: usize) -> usize {
        start + self.below(end - start)
    }

    /// A number in `[0, 1)`.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in `low..=high` whose logarithm is uniform: as many between 1 and 2 KiB as between 1 and 2 MiB.
    pub fn log_uniform(&mut self, low: usize, high: usize) -> usize {
        let (a, b) = ((low as f64).ln(), (high as f64).ln());
        ((a + (b - a) * self.unit()).exp().round() as usize).clamp(low, high)
    }

    /// True with probability `parts` in a thousand.
    #[inline]
    pub fn per_mille(&mut self, parts: usize) -> bool {
        self.below(1000) < parts
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn numbers_stay_in_their_range_and_repeat_for_a_seed() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        for _ in 0..10_000 {
            assert_eq!(a.bits(), b.bits());
            assert!(a.below(13) < 13);
            b.bits();
            let size = a.log_uniform(64, 4096);
            b.bits();
            assert!((64..=4096).contains(&size));
        }
        assert_ne!(Random::new(1).bits(), Random::new(2).bits());
    }

    #[test]
    fn log_uniform_gives_each_doubling_its_share() {
        let mut random = Random::new(3);
        let low_half = (0..10_000).filter(|_| random.log_uniform(1024, 1 << 20) < 32 << 10).count();
        assert!((4_700..5_300).contains(&low_half), "{low_half}");
    }
}
