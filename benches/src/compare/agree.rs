//! Whether two runs say the same: every figure that the tables print, one run's against the other's.
//!
//! The spread of a figure gives an interval. Two figures *overlap* if their intervals overlap. *Predicted* is stricter: each
//! median lies in the other figure's interval. A figure without a spread (fewer than three rounds) cannot be compared. The
//! ratio of the best peer is 1 by definition, so it counts only if the other run has another best peer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::allocators::OURS;
use super::losses::judged;
use super::metric::Metric;
use super::places::RAW;
use super::record::{self, Record};
use super::row::Row;
use super::statistics::Spread;
use super::summary::Summary;
use super::{figures, text};

/// The part of all figures that must overlap. All ratios of neap must overlap, too.
const BAR: f64 = 0.95;

/// What a figure is part of, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    OurRatio,
    OurOthers,
    PeersRatio,
    Time,
    PeakRss,
    Latency,
    Phases,
    Burst,
    Program,
}

impl Group {
    fn name(self) -> &'static str {
        match self {
            Group::OurRatio => "time over the best peer's, neap",
            Group::OurOthers => "what else neap is judged by, over the best peer's",
            Group::PeersRatio => "time over the best peer's, peers",
            Group::Time => "time an operation (follows the host: not counted)",
            Group::PeakRss => "peak RSS",
            Group::Latency => "latencies",
            Group::Phases => "phases, shifting mixes",
            Group::Burst => "memory after a burst, of waiting threads",
            Group::Program => "real code",
        }
    }

    /// Whether it is a ratio of neap's, all of which must overlap.
    fn is_ours(self) -> bool {
        matches!(self, Group::OurRatio | Group::OurOthers)
    }

    /// Whether the bar applies. Absolute times follow the host, and a faster hour is no contradiction.
    fn counts(self) -> bool {
        self != Group::Time
    }
}

/// Where a figure stands: its group, and what names it in a report.
type Place = (Group, String);

/// How two figures stand to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Predicted,
    Overlap,
    Apart,
}

fn verdict(one: &Spread, other: &Spread) -> Option<Verdict> {
    if one.factor.is_none() && other.factor.is_none() {
        return None;
    }
    // A figure without a spread predicts nothing: only the other figure can have predicted it.
    let predicts =
        |it: &Spread, what: &Spread| it.factor.is_none() || (it.low() <= what.median && what.median <= it.high());
    Some(if predicts(one, other) && predicts(other, one) {
        Verdict::Predicted
    } else if one.low() <= other.high() && other.low() <= one.high() {
        Verdict::Overlap
    } else {
        Verdict::Apart
    })
}

/// All figures of a run by their places.
fn gather(summary: &Summary) -> BTreeMap<Place, Spread> {
    let mut all = BTreeMap::new();
    for row in &summary.rows {
        let mut put = |group, cell: &str, what: &str, spread: Option<Spread>| {
            let place = format!("{} ({}), {cell}: {what}", row.label(), row.profile);
            all.extend(spread.map(|spread| ((group, place), spread)));
        };
        for (what, metric, _) in judged(row).iter().filter(|judged| judged.1 != Metric::Time) {
            put(Group::OurOthers, OURS, &format!("{what} over the best peer's"), row.ratio(OURS, *metric));
        }
        for cell in &row.cells {
            let name = cell.allocator.as_str();
            if row.is_timed() {
                let group = if name == OURS { Group::OurRatio } else { Group::PeersRatio };
                put(group, name, "time over the best peer's", row.ratio(name, Metric::Time));
                put(Group::Time, name, "ns an operation", cell.spread(Metric::Time));
                put(Group::PeakRss, name, "peak RSS", cell.spread(Metric::PeakRss));
            }
            for (what, metric) in figures::columns(row, summary.header.idle_seconds) {
                // Time and peak RSS are gathered above.
                if !(row.is_timed() && matches!(metric, Metric::Time | Metric::PeakRss)) {
                    put(own_group(row), name, &what, cell.spread(metric));
                }
            }
        }
    }
    all
}

/// The group of a row's own table.
fn own_group(row: &Row) -> Group {
    use neap_workloads::workload::Kind;
    match row.kind {
        Kind::Speed => Group::Latency,
        Kind::Paced if row.workload == "open-loop" => Group::Latency,
        Kind::Paced => Group::Phases,
        Kind::Idle => Group::Burst,
        Kind::Program => Group::Program,
    }
}

/// How many of a group's figures agree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    all: usize,
    overlap: usize,
    predicted: usize,
}

/// What two runs have in common.
#[derive(Debug, Default)]
struct Report {
    counts: BTreeMap<Group, Count>,
    /// One line for each figure that is apart.
    apart: Vec<(Group, String)>,
    /// One line for each of neap's ratios that overlaps only.
    unpredicted: Vec<String>,
    /// Figures that only one of the runs has.
    alone: usize,
}

impl Report {
    fn new(one: &Summary, other: &Summary) -> Report {
        let (one, other) = (gather(one), gather(other));
        let missing = |from: &BTreeMap<Place, Spread>, there: &BTreeMap<Place, Spread>| {
            there.keys().filter(|place| !from.contains_key(*place)).count()
        };
        let mut report = Report { alone: missing(&one, &other) + missing(&other, &one), ..Report::default() };
        for ((group, place), first) in &one {
            let Some(second) = other.get(&(*group, place.clone())) else { continue };
            let Some(verdict) = verdict(first, second) else { continue };
            let count = report.counts.entry(*group).or_default();
            count.all += 1;
            count.overlap += usize::from(verdict != Verdict::Apart);
            count.predicted += usize::from(verdict == Verdict::Predicted);
            let line = || format!("{place}: {} and {}", text::figure(first), text::figure(second));
            match verdict {
                Verdict::Apart => report.apart.push((*group, line())),
                Verdict::Overlap if group.is_ours() => report.unpredicted.push(line()),
                _ => {}
            }
        }
        report
    }

    /// All figures that the bar is asked of.
    fn total(&self) -> Count {
        let counted = self.counts.iter().filter(|entry| entry.0.counts());
        counted.fold(Count::default(), |sum, (_, count)| Count {
            all: sum.all + count.all,
            overlap: sum.overlap + count.overlap,
            predicted: sum.predicted + count.predicted,
        })
    }

    fn render(&self) -> String {
        let mut out =
            String::from("| figures | compared | intervals overlap | each median in the other's interval |\n");
        out.push_str("| --- | ---: | ---: | ---: |\n");
        let mut line = |name: &str, count: &Count| {
            let part = |some: usize| format!("{some} ({:.0} %)", 100.0 * some as f64 / count.all.max(1) as f64);
            writeln!(out, "| {name} | {} | {} | {} |", count.all, part(count.overlap), part(count.predicted))
                .expect("writing to a string cannot fail");
        };
        for (group, count) in &self.counts {
            line(group.name(), count);
        }
        line("all that counts", &self.total());
        for (heading, lines) in [
            ("Apart", self.apart.iter().map(|(_, line)| line).collect::<Vec<_>>()),
            ("Ratios of neap that overlap, but not with both medians", self.unpredicted.iter().collect()),
        ] {
            if !lines.is_empty() {
                write!(out, "\n{heading}:\n\n").expect("writing to a string cannot fail");
            }
            for line in lines {
                writeln!(out, "- {line}").expect("writing to a string cannot fail");
            }
        }
        if self.alone > 0 {
            write!(out, "\n{} figures are in one of the runs only.\n", self.alone)
                .expect("writing to a string cannot fail");
        }
        out
    }

    /// Why the runs do not agree, if they do not.
    fn judge(&self) -> Result<(), String> {
        let total = self.total();
        if total.all == 0 {
            return Err("the two runs have no figure in common that has a spread (three rounds are the fewest)".into());
        }
        let ours = self.apart.iter().filter(|(group, _)| group.is_ours()).count();
        if ours > 0 {
            return Err(format!("the two runs do not agree: {ours} of neap's ratios are apart"));
        }
        if (total.overlap as f64) < BAR * total.all as f64 {
            let percent = 100.0 * BAR;
            return Err(format!("the two runs do not agree: fewer than {percent} % of the figures overlap"));
        }
        Ok(())
    }
}

/// Reads the raw rows of an output directory, or of a file.
fn read(path: &Path) -> Result<Summary, String> {
    let file = if path.is_dir() { path.join(RAW) } else { path.to_owned() };
    let records = record::read(&file)?;
    if !records.iter().any(|record| matches!(record, Record::Run(_))) {
        return Err(format!("{} has no runs", file.display()));
    }
    Ok(Summary::new(&records))
}

/// Whether the settings of two runs let them be compared.
fn comparable(one: &Summary, other: &Summary) -> Result<(), String> {
    let scale = |summary: &Summary| {
        let line =
            summary.header.lines.iter().find(|line| line.0 == "scale").map(|line| line.1.as_str()).unwrap_or_default();
        line.split(',').next().unwrap_or_default().to_owned()
    };
    if scale(one) != scale(other) {
        return Err(format!("the two runs differ in scale: {} and {}", scale(one), scale(other)));
    }
    if one.header.cpu_time != other.header.cpu_time {
        return Err("one of the two runs compares CPU time, the other one wall time".into());
    }
    Ok(())
}

/// Prints how far two runs agree; an error when they do not.
pub fn run(one: &Path, other: &Path) -> Result<(), String> {
    let (one, other) = (read(one)?, read(other)?);
    comparable(&one, &other)?;
    let report = Report::new(&one, &other);
    println!("{}", report.render());
    report.judge()
}

#[cfg(test)]
mod tests {
    use super::super::record::Header;
    use super::super::summary::tests::run as record;
    use super::*;

    fn spread(median: f64, factor: Option<f64>) -> Spread {
        Spread { median, factor, count: 7 }
    }

    /// A run of six rounds in which neap takes `ours` and two peers 1000 and `peer`, all times `slow`.
    fn summary(ours: u64, peer: u64, slow: u64) -> Summary {
        let mut records = Vec::new();
        for round in 0..6 {
            for (name, ns) in [("neap", ours), ("system", 1000), ("jemalloc", peer)] {
                records.push(record(name, "replace", round as usize, slow * (ns + round)));
            }
        }
        Summary::new(&records)
    }

    #[test]
    fn verdicts() {
        let wide = spread(1.0, Some(1.25));
        assert_eq!(verdict(&wide, &spread(1.2, Some(1.25))), Some(Verdict::Predicted));
        assert_eq!(verdict(&wide, &spread(1.2, Some(1.05))), Some(Verdict::Overlap));
        assert_eq!(verdict(&wide, &spread(1.6, Some(1.05))), Some(Verdict::Apart));
        assert_eq!(verdict(&wide, &spread(1.2, None)), Some(Verdict::Predicted));
        assert_eq!(verdict(&wide, &spread(1.4, None)), Some(Verdict::Apart));
        assert_eq!(verdict(&spread(1.0, None), &spread(1.0, None)), None, "nothing to compare");
    }

    #[test]
    fn a_faster_hour_is_no_contradiction() {
        let report = Report::new(&summary(800, 1500, 1), &summary(800, 1500, 2));
        assert_eq!(report.counts[&Group::OurRatio], Count { all: 1, overlap: 1, predicted: 1 });
        assert_eq!(report.counts[&Group::PeersRatio].all, 1, "the best peer is 1 by definition");
        assert_eq!(report.counts[&Group::Time], Count { all: 3, overlap: 0, predicted: 0 });
        assert_eq!(report.judge(), Ok(()));
        assert!(report.render().contains("| time over the best peer's, neap | 1 | 1 (100 %) | 1 (100 %) |"));
    }

    #[test]
    fn another_ratio_is_named() {
        let report = Report::new(&summary(800, 1500, 1), &summary(1200, 1500, 1));
        let text = report.render();
        assert!(text.contains("- replace ×1 (default), neap: time over the best peer's: 0.80 ±1 % and 1.20"), "{text}");
        assert_eq!(report.judge().unwrap_err(), "the two runs do not agree: 1 of neap's ratios are apart");
    }

    #[test]
    fn another_best_peer_is_compared_with_the_one_before() {
        let report = Report::new(&summary(800, 1005, 1), &summary(800, 996, 1));
        assert_eq!(report.counts[&Group::PeersRatio], Count { all: 2, overlap: 2, predicted: 2 });
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let nothing = read(Path::new("/nonexistent/compare")).unwrap_err();
        assert!(nothing.contains("cannot read /nonexistent/compare"), "{nothing}");
        let (full, mut quick) = (summary(1, 2, 1), summary(1, 2, 1));
        quick.header = Header { lines: vec![("scale".into(), "quick, 5 rounds".into())], ..Header::default() };
        assert!(comparable(&full, &quick).unwrap_err().contains("differ in scale"));
        quick.header = Header { cpu_time: true, ..Header::default() };
        assert!(comparable(&full, &quick).unwrap_err().contains("CPU time"));
        let none = Report::new(&full, &Summary::default());
        assert!(none.judge().unwrap_err().contains("no figure in common") && none.alone > 0);
    }
}
