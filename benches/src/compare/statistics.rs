//! Medians and spreads.

/// The median and how far the samples lie from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest sample.
    pub low: f64,
    /// The largest sample.
    pub high: f64,
    /// How many samples.
    pub count: usize,
}

impl Spread {
    /// Of these samples; none when there are none.
    pub fn of(samples: &[f64]) -> Option<Spread> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Spread { median, low, high, count: sorted.len() })
    }

    /// The farther of the two ends, in percent of the median.
    pub fn percent(&self) -> f64 {
        if self.median == 0.0 {
            return 0.0;
        }
        100.0 * (self.high - self.median).max(self.median - self.low) / self.median
    }
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
        let odd = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.low, odd.high, odd.count), (2.0, 1.0, 3.0, 3));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(odd.percent(), 50.0);
        assert_eq!(Spread::of(&[0.0, 0.0]).unwrap().percent(), 0.0);
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
