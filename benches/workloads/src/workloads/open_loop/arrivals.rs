//! When the requests of a thread arrive, and which stage of the load each belongs to.

use crate::measure::raw::Raw;
use crate::random::Random;

/// A stage of the load. Each has latencies of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The first second of the process: the heap comes into being and the cache fills.
    First,
    /// The cache is full: each request evicts about as much as it inserts.
    Steady,
    /// The cache has been enlarged, and the heap grows again.
    Growth,
}

/// All stages, in the order of the figures.
pub(super) const STAGES: [Stage; 3] = [Stage::First, Stage::Steady, Stage::Growth];

/// The times that bound the stages, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// End of the first stage.
    pub first_ends: u64,
    /// The cache is enlarged.
    pub growth_begins: u64,
    /// The cache is full again.
    pub growth_ends: u64,
    /// The last request has arrived.
    pub end: u64,
}

impl Plan {
    /// The stage of a request that arrives then.
    pub(super) fn stage(&self, arrival: u64) -> Stage {
        match arrival {
            _ if arrival < self.first_ends => Stage::First,
            _ if (self.growth_begins..self.growth_ends).contains(&arrival) => Stage::Growth,
            _ => Stage::Steady,
        }
    }
}

/// Arrivals at random times with a fixed mean rate, up to `end`: the gaps are exponential.
pub(super) fn arrivals(a_second: f64, end: u64, random: &mut Random) -> Raw<u64> {
    let gap = 1e9 / a_second;
    // Room for six standard deviations more than the mean count.
    let mean = end as f64 / gap;
    let mut times = Raw::<u64>::zeroed((mean + 6.0 * mean.sqrt()) as usize + 16);
    let (mut at, mut count) = (0.0, 0);
    loop {
        at -= gap * (1.0 - random.unit()).ln();
        if at >= end as f64 || count == times.len() {
            break;
        }
        times[count] = at as u64;
        count += 1;
    }
    // The rest stays beyond the end, where nobody looks.
    times[count..].fill(u64::MAX);
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_random_and_have_their_rate() {
        let times = arrivals(10_000.0, 2_000_000_000, &mut Random::new(1));
        let count = times.iter().filter(|time| **time != u64::MAX).count();
        assert!((19_400..20_600).contains(&count), "{count}");
        assert!(times.is_sorted());
        let gaps: Vec<u64> = times[..count].windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Of exponential gaps 37 % are longer than the mean and 5 % longer than three times the mean.
        let part = |ns: u64| gaps.iter().filter(|gap| **gap > ns).count() as f64 / gaps.len() as f64;
        assert!((0.35..0.39).contains(&part(100_000)), "{}", part(100_000));
        assert!((0.04..0.06).contains(&part(300_000)), "{}", part(300_000));
    }

    #[test]
    fn stages_follow_the_plan() {
        let plan = Plan { first_ends: 10, growth_begins: 20, growth_ends: 30, end: 40 };
        let stages: Vec<_> = [0, 9, 10, 19, 20, 29, 30, 39].iter().map(|at| plan.stage(*at)).collect();
        use Stage::{First, Growth, Steady};
        assert_eq!(stages, [First, First, Steady, Steady, Growth, Growth, Steady, Steady]);
    }
}
