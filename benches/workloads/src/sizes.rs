//! Tables of precomputed object sizes, so that choosing a size costs one load in the measured path.

use crate::measure::raw::Raw;
use crate::random::Random;

/// Entries of a table: small enough to stay in the first-level cache.
const ENTRIES: usize = 2048;

/// A size distribution: parts per thousand of log-uniform ranges of bytes.
pub type Mix = &'static [(usize, usize, usize)];

/// Most objects of a program are small: 80 % up to 256 B, 15 % up to 4 KiB, 5 % up to 32 KiB.
pub const PROGRAM: Mix = &[(800, 8, 256), (150, 257, 4 << 10), (50, (4 << 10) + 1, 32 << 10)];
/// Messages between threads.
pub const MESSAGES: Mix = &[(700, 16, 256), (300, 257, 2 << 10)];
/// Small objects of the burst: about 420 B on average.
pub const SMALL: Mix = &[(500, 16, 256), (500, 256, 1536)];
/// Blocks of 64 KiB to 8 MiB.
pub const LARGE: Mix = &[(1000, 64 << 10, 8 << 20)];

/// A precomputed sample of a mix.
pub struct Sizes(Raw<u32>);

impl Sizes {
    /// Samples `mix`.
    pub fn new(mix: Mix, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut table = Raw::<u32>::zeroed(ENTRIES);
        for entry in table.iter_mut() {
            let mut at = random.below(1000);
            let (_, low, high) = mix
                .iter()
                .copied()
                .find(|(parts, _, _)| {
                    let hit = at < *parts;
                    at = at.saturating_sub(*parts);
                    hit
                })
                .unwrap_or(mix[0]);
            *entry = random.log_uniform(low, high) as u32;
        }
        Sizes(table)
    }

    /// A size, from random bits.
    #[inline]
    pub fn pick(&self, bits: u64) -> usize {
        self.0[(bits % ENTRIES as u64) as usize] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_their_mix() {
        for mix in [PROGRAM, MESSAGES, SMALL, LARGE] {
            assert_eq!(mix.iter().map(|(parts, _, _)| parts).sum::<usize>(), 1000);
            let sizes = Sizes::new(mix, 1);
            let low = mix.iter().map(|part| part.1).min().unwrap();
            let high = mix.iter().map(|part| part.2).max().unwrap();
            for bits in 0..ENTRIES as u64 {
                assert!((low..=high).contains(&sizes.pick(bits)));
            }
        }
        let sizes = Sizes::new(SMALL, 1);
        let mean = (0..ENTRIES as u64).map(|bits| sizes.pick(bits)).sum::<usize>() / ENTRIES;
        assert!((330..480).contains(&mean), "{mean}");
    }
}
