//! Latencies in a fixed array: 32 steps a doubling (an error of at most 3 %), the maximum exactly.

use super::raw::Raw;

/// Steps a doubling, as a power of two.
const STEP_BITS: u32 = 5;
const STEPS: usize = 1 << STEP_BITS;
const BUCKETS: usize = 64 * STEPS;

/// A histogram of nanoseconds.
pub struct Histogram {
    counts: Raw<u64>,
    max: u64,
    total: u64,
}

fn bucket(ns: u64) -> usize {
    if ns < STEPS as u64 {
        return ns as usize;
    }
    let doubling = ns.ilog2() - STEP_BITS;
    (doubling as usize + 1) * STEPS + ((ns >> doubling) as usize - STEPS)
}

/// The highest value of a bucket.
fn upper(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let doubling = index / STEPS - 1;
    ((((index % STEPS + STEPS + 1) as u128) << doubling) - 1) as u64
}

impl Histogram {
    /// An empty histogram, all of its memory in place.
    #[expect(clippy::new_without_default, reason = "it maps memory: nothing to do by default")]
    pub fn new() -> Self {
        Histogram { counts: Raw::zeroed(BUCKETS), max: 0, total: 0 }
    }

    /// Records one latency.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.max = self.max.max(ns);
        self.total += 1;
    }

    /// Adds what another one recorded.
    pub fn add(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine += theirs;
        }
        self.max = self.max.max(other.max);
        self.total += other.total;
    }

    /// The latency that `part` (0 to 1) of all stay within.
    pub fn quantile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(index).min(self.max);
            }
        }
        self.max
    }

    /// The longest.
    pub fn max(&self) -> u64 {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_three_percent_wide() {
        let mut last = 0;
        for ns in (0..100_000).chain([u64::MAX / 2, u64::MAX]) {
            let index = bucket(ns);
            assert!(index >= last && index < BUCKETS);
            last = index;
            assert!(upper(index) >= ns && (upper(index) - ns) as f64 <= ns as f64 / 31.0, "{ns} {}", upper(index));
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::new();
        for ns in 1..=10_000 {
            histogram.record(ns);
        }
        for (part, exact) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let found = histogram.quantile(part) as f64;
            assert!((found / exact - 1.0).abs() < 0.04, "{part}: {found}");
        }
        assert_eq!(histogram.max(), 10_000);
        let mut sum = Histogram::new();
        sum.record(1);
        sum.add(&histogram);
        assert_eq!(sum.quantile(1.0), 10_000);
    }
}
