//! Medians, and where the median of another run is to be expected.

/// The median of the rounds, and how far from it the median of another run is to be expected.
///
/// The factor is a prediction: in nineteen of twenty cases, the median of another run with as many rounds lies between
/// `median / factor` and `median * factor`. The factor follows from the mean distance of the rounds from their median. The
/// farthest round would predict too much, since one bad round hardly moves a median. The factor is never below `FLOOR`.
/// Fewer than three rounds have no factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// How many times more or less another median may be.
    pub factor: Option<f64>,
    /// How many rounds.
    pub count: usize,
}

/// The least factor: the three digits of the tables can show no less.
const FLOOR: f64 = 1.01;

/// How many mean distances another median may be away. 95 of 100 simulated pairs of runs stay within this many, with normal,
/// one-sided and long-tailed noise of the logarithms. Few rounds need more distances, since they know their spread badly.
fn distances(count: usize) -> Option<f64> {
    match count {
        0..=2 => None,
        3 => Some(8.0),
        4 => Some(4.4),
        5 => Some(3.4),
        6 => Some(2.6),
        7 => Some(2.3),
        8 => Some(2.0),
        9 => Some(1.9),
        many => Some(5.2 / (many as f64).sqrt()),
    }
}

impl Spread {
    /// Of these rounds; none when there are none.
    pub fn of(rounds: &[f64]) -> Option<Spread> {
        let median = median(rounds)?;
        let mean = rounds.iter().map(|round| distance(*round, median).ln()).sum::<f64>() / rounds.len() as f64;
        let factor = distances(rounds.len()).map(|many| (many * mean).exp().max(FLOOR));
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
        let spread = Spread { median: 5.0, factor: Some(2.0), count: 9 };
        assert_eq!((spread.low(), spread.high(), spread.percent()), (2.5, 10.0, Some(100.0)));
        let unknown = Spread { factor: None, ..spread };
        assert_eq!((unknown.low(), unknown.high(), unknown.percent()), (5.0, 5.0, None));
    }

    #[test]
    fn one_bad_round_is_not_the_spread() {
        let rounds = [1.0, 1.1, 1.0, 0.9, 1.0, 1.1, 0.9, 1.0, 5.0];
        let spread = Spread::of(&rounds).unwrap();
        assert_eq!(spread.median, 1.0);
        assert!(spread.factor.unwrap() < 2.0, "{spread:?}");
    }

    #[test]
    fn few_rounds_are_trusted_less() {
        assert_eq!(Spread::of(&[1.0, 2.0]).unwrap().factor, None);
        let factors: Vec<_> = (3..=16)
            .map(|count| {
                let rounds: Vec<_> = (0..count).map(|round| if round % 3 == 0 { 11.0 } else { 10.0 }).collect();
                Spread::of(&rounds).unwrap().factor.unwrap()
            })
            .collect();
        assert!(factors[0] > 1.25, "{factors:?}");
        assert!(factors[1] > factors[4] && factors[4] > factors[7] && factors[7] > factors[13], "{factors:?}");
    }

    #[test]
    fn no_spread_is_below_the_floor() {
        let steady = Spread::of(&[100.0; 7]).unwrap();
        assert_eq!(steady.factor, Some(FLOOR));
        let nothing = Spread::of(&[0.0; 7]).unwrap();
        assert_eq!((nothing.median, nothing.low(), nothing.high()), (0.0, 0.0, 0.0));
        let some = Spread::of(&[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
        assert!(some.median == 1.0 && some.factor > Some(4.0), "{some:?}");
    }

    /// The noise only adds time, as a neighbour on the same core does. The test counts how often the median of a second run
    /// lies where the first run says.
    #[test]
    fn another_run_is_where_the_spread_says() {
        let mut random = neap_workloads::random::Random::new(1);
        let mut run = |count: usize| -> Spread {
            let rounds: Vec<_> = (0..count).map(|_| 100.0 * (0.2 * -random.unit().max(1e-9).ln()).exp()).collect();
            Spread::of(&rounds).unwrap()
        };
        for count in [3, 4, 5, 6, 7, 8, 9, 12, 20] {
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
