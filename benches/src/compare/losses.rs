//! The rows in which neap is behind: first those beyond the spread, then those within it.

use std::fmt::Write;

use neap_workloads::workload::Kind;

use super::allocators::OURS;
use super::metric::Metric;
use super::row::Row;
use super::statistics::Spread;
use super::summary::Summary;
use super::text;

/// A ratio that prints as more than 1.00.
pub fn loses(ratio: f64) -> bool {
    ratio >= 1.005
}

/// Where a ratio stands against the bar that it should not exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Not above it.
    Holds,
    /// Above it, but not beyond the spread: another run may say otherwise.
    Level,
    /// Above it beyond the spread.
    Behind,
}

/// Where `ratio` stands.
pub fn standing(ratio: &Spread, bar: f64) -> Standing {
    match loses(ratio.median / bar) {
        false => Standing::Holds,
        true if ratio.low() > bar => Standing::Behind,
        true => Standing::Level,
    }
}

/// A peak RSS of up to so many times a peer's counts as the same.
pub const PEAK_BAR: f64 = 1.05;

/// The peer with the least of that figure, a kind of memory, among the peers that take at most 1.5 times our time.
pub fn leanest_quick_peer(row: &Row, metric: Metric) -> Option<(&str, f64)> {
    let ours = row.cell(OURS)?.median(Metric::Time)?;
    row.cells
        .iter()
        .filter(|cell| cell.allocator != OURS && cell.median(Metric::Time).is_some_and(|time| time <= 1.5 * ours))
        .filter_map(|cell| Some((cell.allocator.as_str(), cell.median(metric)?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

/// What a row is judged by, besides its memory at work: name, figure, bar.
pub fn judged(row: &Row) -> &'static [(&'static str, Metric, f64)] {
    match row.kind {
        Kind::Program => &[
            ("time", Metric::Time, 1.0),
            ("kernel time", Metric::System, 1.1),
            ("RSS 2 s after", Metric::RssAfter(2.0), 1.0),
        ],
        Kind::Paced if row.workload == "open-loop" && row.variant == "load-40" => &[
            ("p99.9 latency in the steady state", Metric::Latency("steady_p999_ns"), 1.0),
            ("p99.99 latency in the steady state", Metric::Latency("steady_p9999_ns"), 1.0),
            ("p99.9 latency in growth", Metric::Latency("growth_p999_ns"), 1.0),
            ("p99.99 latency in growth", Metric::Latency("growth_p9999_ns"), 1.0),
        ],
        Kind::Paced if row.workload == "open-loop" => &[("CPU time", Metric::Time, 1.0)],
        Kind::Idle => {
            &[("RSS over time", Metric::RssIntegral, 1.0), ("physical memory over time", Metric::PhysicalIntegral, 1.0)]
        }
        Kind::Paced => &[("CPU time", Metric::Time, 1.0), ("page faults", Metric::Faults, 1.1)],
        Kind::Speed if row.workload == "server" => {
            &[("time", Metric::Time, 1.0), ("p99.9 latency", Metric::Latency("p999_ns"), 1.05)]
        }
        Kind::Speed => &[("time", Metric::Time, 1.0)],
    }
}

/// The memory at work that a row is judged by, against the leanest peer of our speed: name, figure, bar.
fn memory_at_work(row: &Row) -> &'static [(&'static str, Metric, f64)] {
    match (row.kind, row.workload) {
        (Kind::Idle, _) => &[],
        (Kind::Paced, "shifting") | (Kind::Program, _) => {
            &[("peak RSS", Metric::PeakRss, PEAK_BAR), ("mean RSS", Metric::MeanRss, 1.0)]
        }
        _ => &[("peak RSS", Metric::PeakRss, PEAK_BAR)],
    }
}

/// Writes the two lists.
pub fn write(out: &mut String, summary: &Summary) {
    if !summary.allocators().contains(&OURS) {
        return;
    }
    let (mut behind, mut level) = (Vec::new(), Vec::new());
    for row in &summary.rows {
        let place = format!("{} ({})", row.label(), row.profile);
        if let Some(failure) = row.cell(OURS).and_then(|cell| cell.failure.as_ref()) {
            behind.push(format!("{place}: {failure}"));
            continue;
        }
        let mut judge = |what: &str, ratio: &Spread, bar: f64, peer: &str| {
            let line = || format!("{place}: {what} {} of {peer}'s", text::ratio(ratio));
            match standing(ratio, bar) {
                Standing::Holds => {}
                Standing::Level => level.push(line()),
                Standing::Behind => behind.push(line()),
            }
        };
        for (what, metric, bar) in judged(row) {
            if let (Some(ratio), Some((best, _))) = (row.ratio(OURS, *metric), row.best_peer(*metric)) {
                judge(what, &ratio, *bar, best);
            }
        }
        for (what, metric, bar) in memory_at_work(row) {
            if let Some((name, _)) = leanest_quick_peer(row, *metric)
                && let Some(ratio) = row.ratio_to(OURS, name, *metric)
            {
                judge(what, &ratio, *bar, name);
            }
        }
    }
    out.push_str("## Where neap loses\n\nBehind beyond the spread:\n\n");
    list(out, &behind);
    out.push_str("Behind, but level within the spread:\n\n");
    list(out, &level);
}

fn list(out: &mut String, lines: &[String]) {
    if lines.is_empty() {
        out.push_str("- nowhere in this run\n");
    }
    for line in lines {
        writeln!(out, "- {line}").expect("writing to a string cannot fail");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::run;
    use super::*;

    #[test]
    fn only_what_is_above_the_bar_beyond_the_spread_is_behind() {
        let ratio = |median: f64, low: f64| Spread { median, factor: Some(median / low), count: 7 };
        assert_eq!(standing(&ratio(1.004, 1.001), 1.0), Standing::Holds);
        assert_eq!(standing(&ratio(1.2, 0.99), 1.0), Standing::Level);
        assert_eq!(standing(&ratio(1.2, 1.01), 1.0), Standing::Behind);
        assert_eq!(standing(&ratio(1.2, 1.01), 1.05), Standing::Level);
        assert_eq!(standing(&Spread { median: 1.2, factor: None, count: 1 }, 1.0), Standing::Behind);
    }

    #[test]
    fn both_kinds_are_listed() {
        let mut records = Vec::new();
        for (round, luck) in [900, 1000, 1010, 1020, 1030, 1040].into_iter().enumerate() {
            records.push(run("neap", "replace", round, 1500));
            records.push(run("neap", "pairs", round, luck));
            for workload in ["replace", "pairs"] {
                records.push(run("system", workload, round, 1000));
            }
        }
        let mut text = String::new();
        write(&mut text, &Summary::new(&records));
        let (behind, level) = text.split_once("Behind, but level").unwrap();
        assert!(behind.contains("- replace ×1 (default): time 1.50 ±"), "{text}");
        assert!(level.contains("- pairs ×1 (default): time 1.02 ±"), "{text}");
        assert!(!behind.contains("pairs") && !level.contains("replace"), "{text}");
    }
}
