//! Medians, and where the median of another run is to be expected.

/// The median of the rounds, and how far from it the median of another run is to be expected.
///
/// A prediction: the median of another run with as many rounds should be at most `factor` times this one, and at least this
/// one over `factor`, nineteen times of twenty. From seven rounds on the factor is the farthest round's distance; fewer
/// rounds tell too little of their spread, so it is stretched. It is never below [`FLOOR`], and fewer than three rounds
/// have none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// How many times more or less another median may be.
    pub factor: Option<f64>,
    /// How many rounds.
    pub count: usize,
}

/// What is always allowed for: the tables' three digits can show no less.
const FLOOR: f64 = 1.01;

/// The power to which the farthest distance of so few rounds is raised: what it takes for 95 of 100 second medians, simulated
/// with normal, one-sided and long-tailed noise of the logarithms. From seven rounds on one is enough for all three.
fn stretch(count: usize) -> Option<f64> {
    match count {
        0..=2 => None,
        3 => Some(3.7),
        4 => Some(2.1),
        5 => Some(1.4),
        6 => Some(1.1),
        _ => Some(1.0),
    }
}

impl Spread {
    /// Of these rounds; none when there are none.
    pub fn of(rounds: &[f64]) -> Option<Spread> {
        let median = median(rounds)?;
        let farthest = rounds.iter().map(|round| distance(*round, median)).fold(1.0, f64::max);
        let factor = stretch(rounds.len()).map(|by| farthest.powf(by).max(FLOOR));
        Some(Spread { median, factor, count: rounds.len() })
    }

    /// The lower end of the expectation, or the median itself.
    pub fn low(&self) -> f64 {
        self.median / self.factor.unwrap_or(1.0)
    }

    /// The upper end, or the median itself.
    pub fn high(&self) -> f64 {
        self.median * self.factor.unwrap_or(1.0)
    }

    /// What the factor adds, in percent.
    pub fn percent(&self) -> Option<f64> {
        self.factor.map(|factor| 100.0 * (factor - 1.0))
    }
}

/// By how many times two figures differ. Zero is taken for a hundredth of the other one.
fn distance(one: f64, other: f64) -> f64 {
    let (less, more) = (one.min(other), one.max(other));
    if more <= 0.0 { 1.0 } else { more / less.max(more / 100.0) }
}

/// The median, of the middle two where there are two.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}

/// The area under `(x, y)` points by trapezoids, up to `end`, the last value held where points are missing.
pub fn integral(points: &[(f64, f64)], end: f64) -> f64 {
    let mut sum = 0.0;
    let mut last: Option<(f64, f64)> = None;
    for &(x, y) in points {
        if let Some((from, height)) = last {
            if from >= end {
                return sum;
            }
            let to = x.min(end);
            let at_end = if x > from { height + (y - height) * (to - from) / (x - from) } else { y };
            sum += (to - from) * (height + at_end) / 2.0;
        }
        last = Some((x, y));
    }
    last.map_or(sum, |(x, y)| sum + (end - x).max(0.0) * y)
}

/// The value at `at`, from the nearest point at or before it (or the first one).
pub fn value_at(points: &[(f64, f64)], at: f64) -> Option<f64> {
    let before = points.iter().rev().find(|point| point.0 <= at);
    before.or(points.first()).map(|point| point.1)
}

/// The mean over time of points.
pub fn mean(points: &[(f64, f64)]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    if last.0 <= first.0 {
        return Some(first.1);
    }
    let shifted: Vec<_> = points.iter().map(|point| (point.0 - first.0, point.1)).collect();
    Some(integral(&shifted, last.0 - first.0) / (last.0 - first.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let nine = [5.0, 9.0, 1.0, 4.0, 6.0, 5.0, 5.0, 5.0, 5.0];
        let spread = Spread::of(&nine).unwrap();
        assert_eq!((spread.median, spread.factor, spread.count), (5.0, Some(5.0), 9));
        assert_eq!((spread.low(), spread.high(), spread.percent()), (1.0, 25.0, Some(400.0)));
    }

    #[test]
    fn few_rounds_are_trusted_less() {
        assert_eq!(Spread::of(&[1.0, 2.0]).unwrap().factor, None);
        let factors: Vec<_> = (3..=8)
            .map(|count| {
                let mut rounds = vec![10.0; count];
                rounds[0] = 11.0;
                Spread::of(&rounds).unwrap().factor.unwrap()
            })
            .collect();
        assert!(factors.windows(2).all(|pair| pair[0] >= pair[1]), "{factors:?}");
        assert!(factors[0] > 1.25 && factors[5] == 1.1, "{factors:?}");
    }

    #[test]
    fn no_spread_is_below_the_floor() {
        let steady = Spread::of(&[100.0; 7]).unwrap();
        assert_eq!(steady.factor, Some(FLOOR));
        let nothing = Spread::of(&[0.0; 7]).unwrap();
        assert_eq!((nothing.median, nothing.low(), nothing.high()), (0.0, 0.0, 0.0));
        let some = Spread::of(&[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
        assert_eq!((some.median, some.factor), (1.0, Some(100.0)));
    }

    /// Draws from a noise that only adds, as a neighbour on the same core does, and counts how often the median of a second
    /// run of as many rounds is where the first one says.
    #[test]
    fn another_run_is_where_the_spread_says() {
        let mut random = neap_workloads::random::Random::new(1);
        let mut run = |count: usize| -> Spread {
            let rounds: Vec<_> = (0..count).map(|_| 100.0 * (0.2 * -random.unit().max(1e-9).ln()).exp()).collect();
            Spread::of(&rounds).unwrap()
        };
        for count in [3, 4, 5, 6, 7, 9] {
            let hits = (0..2000)
                .filter(|_| {
                    let (one, other) = (run(count), run(count));
                    one.low() <= other.median && other.median <= one.high()
                })
                .count();
            assert!(hits >= 1880, "{count} rounds: {hits} of 2000");
        }
    }

    #[test]
    fn integrals() {
        assert_eq!(integral(&[(0.0, 1.0), (2.0, 1.0)], 2.0), 2.0);
        assert_eq!(integral(&[(0.0, 0.0), (2.0, 2.0)], 2.0), 2.0);
        assert_eq!(integral(&[(0.0, 0.0), (2.0, 2.0)], 1.0), 0.5, "cut off");
        assert_eq!(integral(&[(0.0, 1.0), (1.0, 1.0)], 3.0), 3.0, "held");
        assert_eq!(integral(&[], 3.0), 0.0);
        assert_eq!(mean(&[(1.0, 2.0), (3.0, 4.0)]), Some(3.0));
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn values() {
        let points = [(0.1, 5.0), (1.0, 6.0), (2.0, 7.0)];
        assert_eq!(value_at(&points, 0.0), Some(5.0));
        assert_eq!(value_at(&points, 1.9), Some(6.0));
        assert_eq!(value_at(&points, 9.0), Some(7.0));
    }
}
