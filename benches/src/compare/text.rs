//! Figures as text.

use super::statistics::Spread;

/// A number with three digits that matter.
pub fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A time in the unit that fits.
pub fn time(ns: f64) -> String {
    let (unit, name) = unit(ns);
    format!("{} {name}", number(ns / unit))
}

/// The unit that fits a time: its nanoseconds and its name.
fn unit(ns: f64) -> (f64, &'static str) {
    match ns {
        _ if ns >= 1e6 => (1e6, "ms"),
        _ if ns >= 1e3 => (1e3, "µs"),
        _ => (1.0, "ns"),
    }
}

/// A spread beyond this says only that the figure says nothing.
const WIDE_PERCENT: f64 = 300.0;

/// The spread with a space before it, rounded up. Empty if there is no spread.
fn spread(of: &Spread) -> String {
    match of.percent() {
        None => String::new(),
        Some(wide) if wide > WIDE_PERCENT => format!(" ±>{WIDE_PERCENT:.0} %"),
        Some(percent) => format!(" ±{:.0} %", (percent - 1e-6).ceil()),
    }
}

/// A figure and its spread.
pub fn figure(of: &Spread) -> String {
    format!("{}{}", number(of.median), spread(of))
}

/// A ratio, with two places whatever its size, and its spread.
pub fn ratio(of: &Spread) -> String {
    format!("{:.2}{}", of.median, spread(of))
}

/// A time and its spread.
pub fn time_figure(of: &Spread) -> String {
    format!("{}{}", time(of.median), spread(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([number(1234.5), number(12.34), number(1.234)], ["1234", "12.3", "1.23"]);
        assert_eq!([time(12.3), time(4_560.0), time(7.8e6)], ["12.3 ns", "4.56 µs", "7.80 ms"]);
    }

    #[test]
    fn spreads_are_rounded_up() {
        let spread = Spread { median: 1234.5, factor: Some(1.121), count: 7 };
        assert_eq!(
            [figure(&spread), ratio(&spread), time_figure(&spread)],
            ["1234 ±13 %", "1234.50 ±13 %", "1.23 µs ±13 %"]
        );
        assert_eq!(figure(&Spread { factor: Some(1.01), ..spread }), "1234 ±1 %");
        assert_eq!(figure(&Spread { factor: Some(4.0), ..spread }), "1234 ±300 %");
        assert_eq!(figure(&Spread { factor: Some(50.0), ..spread }), "1234 ±>300 %");
        assert_eq!(figure(&Spread { factor: None, ..spread }), "1234");
    }
}
