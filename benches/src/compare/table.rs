//! The Markdown tables.

use std::fmt::Write;

use neap_workloads::workloads::{self, Kind};

use super::allocators::OURS;
use super::summary::{Cell, Metric, Row, Summary};

/// A table with a heading; the first column is left-aligned.
fn table(out: &mut String, columns: &[String], rows: &[Vec<String>]) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    out.push_str(&line(columns));
    let rule: Vec<_> = (0..columns.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
    out.push_str(&line(&rule));
    for row in rows {
        out.push_str(&line(row));
    }
    out.push('\n');
}

/// A number with three digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A time in the unit that fits.
fn time(ns: f64) -> String {
    match ns {
        _ if ns >= 1e6 => format!("{} ms", number(ns / 1e6)),
        _ if ns >= 1e3 => format!("{} µs", number(ns / 1e3)),
        _ => format!("{} ns", number(ns)),
    }
}

fn bold(text: String, when: bool) -> String {
    if when { format!("**{text}**") } else { text }
}

fn failed(cell: &Cell) -> String {
    let line = cell.failure.as_deref().unwrap_or("no figure");
    line.split(':').next().unwrap_or(line).to_owned()
}

/// One row with a ratio to the best peer for each allocator.
fn ratios(row: &Row, names: &[&str], metric: Metric, best: impl Fn(f64) -> String) -> Vec<String> {
    let mut cells = vec![row.label()];
    match row.best_peer(metric) {
        Some((name, spread)) => cells.push(format!("{name} {}", best(spread.median))),
        None => cells.push("–".into()),
    }
    for name in names {
        cells.push(match (row.ratio(name, metric), row.cell(name)) {
            (Some(ratio), _) => bold(format!("{ratio:.2}"), *name == OURS && loses(ratio)),
            (None, Some(cell)) => failed(cell),
            (None, None) => "–".into(),
        });
    }
    cells
}

/// A ratio that prints as more than 1.00.
fn loses(ratio: f64) -> bool {
    ratio >= 1.005
}

fn columns(first: &[&str], names: &[&str]) -> Vec<String> {
    first.iter().chain(names).map(|name| (*name).to_owned()).collect()
}

/// All tables.
pub fn render(summary: &Summary) -> String {
    let mut out = String::from("# Comparison of allocators\n\n");
    let names = summary.allocators();
    for (name, value) in &summary.header.lines {
        writeln!(out, "- {name}: {value}").expect("writing to a string cannot fail");
    }
    for note in &summary.notes {
        writeln!(out, "- **{note}**").expect("writing to a string cannot fail");
    }
    out.push('\n');
    builds(&mut out, summary);
    legend(&mut out, summary);
    losses(&mut out, summary);
    for profile in &summary.profiles {
        let timed: Vec<_> = summary.of_profile(profile).filter(|row| row.is_timed()).collect();
        if timed.is_empty() {
            continue;
        }
        let shape = shape(profile);
        let counted = if summary.header.cpu_time {
            "CPU time is compared, not wall time"
        } else {
            "`phases` counts CPU time, all else wall time"
        };
        writeln!(
            out,
            "## Speed, {shape}\n\nTime over the best peer's, medians; lower is better. {counted}. Bold: neap is behind.\n"
        )
        .expect("writing to a string cannot fail");
        let rows: Vec<_> = timed.iter().map(|row| ratios(row, &names, Metric::Time, time)).collect();
        table(&mut out, &columns(&["workload ×threads", "best peer"], &names), &rows);
        writeln!(out, "Time an operation, median ± the farthest round:\n").expect("writing to a string cannot fail");
        let rows: Vec<_> = timed.iter().map(|row| times(row, &names)).collect();
        table(&mut out, &columns(&["workload ×threads"], &names), &rows);
        writeln!(
            out,
            "### Peak RSS, {shape}\n\nMiB, median, without the benchmark's own tables. Bold: neap is above 1.05 times the \
             leanest peer that is within 1.5 times of its speed.\n"
        )
        .expect("writing to a string cannot fail");
        let rows: Vec<_> = timed.iter().map(|row| peaks(row, &names)).collect();
        table(&mut out, &columns(&["workload ×threads"], &names), &rows);
        for row in timed.iter().filter(|row| row.workload == "server") {
            latencies(&mut out, row, shape);
        }
        for row in timed.iter().filter(|row| row.kind == Kind::Paced) {
            phases(&mut out, row, shape);
        }
    }
    for row in summary.rows.iter().filter(|row| row.kind == Kind::Idle) {
        burst(&mut out, row, summary.header.idle_seconds);
    }
    out
}

fn shape(profile: &str) -> &'static str {
    if profile == "lto" { "thin LTO" } else { "default release profile" }
}

fn builds(out: &mut String, summary: &Summary) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for build in &summary.builds {
        let state = match (&build.failure, build.flags.as_str()) {
            (Some(failure), _) => failure.replace('|', "/"),
            (None, "") => "built".into(),
            (None, flags) => format!("built; C code with {flags}"),
        };
        let versions = if build.versions.is_empty() { "–".into() } else { build.versions.clone() };
        rows.push(vec![build.allocator.clone(), build.profile.clone(), versions, state]);
    }
    table(out, &columns(&["allocator", "profile", "versions", "state"], &[]), &rows);
}

fn legend(out: &mut String, summary: &Summary) {
    let ran = |name: &str| summary.rows.iter().any(|row| row.workload == name);
    for workload in workloads::ALL.iter().filter(|workload| ran(workload.name)) {
        writeln!(out, "- `{}`: {}; an operation is one {}.", workload.name, workload.about, workload.operation)
            .expect("writing to a string cannot fail");
    }
    out.push('\n');
}

fn times(row: &Row, names: &[&str]) -> Vec<String> {
    let cell = |name: &&str| match row.cell(name) {
        None => "–".to_owned(),
        Some(cell) => match cell.spread(Metric::Time) {
            Some(spread) => format!("{} ±{:.0} %", time(spread.median), spread.percent()),
            None => failed(cell),
        },
    };
    std::iter::once(row.label()).chain(names.iter().map(cell)).collect()
}

/// The least peak RSS among peers that take at most 1.5 times our time.
fn leanest_quick_peer(row: &Row) -> Option<(&str, f64)> {
    let ours = row.cell(OURS)?.median(Metric::Time)?;
    row.cells
        .iter()
        .filter(|cell| cell.allocator != OURS && cell.median(Metric::Time).is_some_and(|time| time <= 1.5 * ours))
        .filter_map(|cell| Some((cell.allocator.as_str(), cell.median(Metric::PeakRss)?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

fn peaks(row: &Row, names: &[&str]) -> Vec<String> {
    let limit = leanest_quick_peer(row).map(|(_, peak)| 1.05 * peak);
    let cell = |name: &&str| match row.cell(name) {
        None => "–".to_owned(),
        Some(cell) => match cell.median(Metric::PeakRss) {
            Some(peak) => bold(number(peak), *name == OURS && limit.is_some_and(|limit| peak > limit)),
            None => failed(cell),
        },
    };
    std::iter::once(row.label()).chain(names.iter().map(cell)).collect()
}

/// A table with the allocators as rows, for one row of the comparison.
fn by_allocator(out: &mut String, row: &Row, metrics: &[(&str, Metric)]) {
    let names: Vec<_> = metrics.iter().map(|metric| metric.0).collect();
    let rows: Vec<Vec<String>> = row
        .cells
        .iter()
        .map(|cell| {
            let value = |metric: &(&str, Metric)| match cell.spread(metric.1) {
                Some(spread) => number(spread.median),
                None => failed(cell),
            };
            let name = bold(cell.allocator.clone(), cell.allocator == OURS);
            std::iter::once(name).chain(metrics.iter().map(value)).collect()
        })
        .collect();
    table(out, &columns(&["allocator"], &names), &rows);
}

fn latencies(out: &mut String, row: &Row, shape: &str) {
    writeln!(out, "### Latency of {}, {shape}\n\nMicroseconds a request, median of the rounds.\n", row.label())
        .expect("writing to a string cannot fail");
    let metrics = [
        ("p50", Metric::Latency("p50_ns")),
        ("p99", Metric::Latency("p99_ns")),
        ("p99.9", Metric::Latency("p999_ns")),
        ("max", Metric::Latency("max_ns")),
    ];
    by_allocator(out, row, &metrics);
}

fn phases(out: &mut String, row: &Row, shape: &str) {
    writeln!(out, "### {}, {shape}\n", row.label()).expect("writing to a string cannot fail");
    let metrics = [
        ("CPU ns/op", Metric::Time),
        ("mean RSS MiB", Metric::MeanRss),
        ("mean physical MiB", Metric::MeanPhysical),
        ("peak RSS MiB", Metric::PeakRss),
        ("faults/1000 ops", Metric::Faults),
    ];
    by_allocator(out, row, &metrics);
}

fn burst(out: &mut String, row: &Row, idle_seconds: f64) {
    let late = idle_seconds.min(10.0);
    let optimum = row.cells.iter().find_map(|cell| cell.median(Metric::Optimum)).unwrap_or(0.0);
    let how = row.cells.iter().flat_map(|cell| &cell.runs).map(|run| run.physical.as_str()).find(|how| !how.is_empty());
    writeln!(
        out,
        "## Memory after a burst: {}, {}\n\nMiB, and GiB·s over {idle_seconds} s; page optimum {} MiB or a little more, by \
         placement; physical memory by {}.\n",
        row.variant,
        shape(&row.profile),
        number(optimum),
        how.unwrap_or("nothing"),
    )
    .expect("writing to a string cannot fail");
    let late_rss = format!("RSS {late} s");
    let late_physical = format!("physical {late} s");
    let metrics = [
        ("RSS 2 s", Metric::RssAt(2.0)),
        (late_rss.as_str(), Metric::RssAt(late)),
        ("RSS GiB·s", Metric::RssIntegral),
        ("physical 2 s", Metric::PhysicalAt(2.0)),
        (late_physical.as_str(), Metric::PhysicalAt(late)),
        ("physical GiB·s", Metric::PhysicalIntegral),
        ("page optimum", Metric::Optimum),
        ("idle CPU ms", Metric::IdleCpu),
    ];
    by_allocator(out, row, &metrics);
}

/// The list of rows where neap is behind.
fn losses(out: &mut String, summary: &Summary) {
    if !summary.allocators().contains(&OURS) {
        return;
    }
    let mut lines = Vec::new();
    for row in &summary.rows {
        let place = format!("{} ({})", row.label(), row.profile);
        if let Some(failure) = row.cell(OURS).and_then(|cell| cell.failure.as_ref()) {
            lines.push(format!("{place}: {failure}"));
            continue;
        }
        let metrics: &[(&str, Metric, f64)] = match row.kind {
            Kind::Idle => &[
                ("RSS over time", Metric::RssIntegral, 1.0),
                ("physical memory over time", Metric::PhysicalIntegral, 1.0),
            ],
            Kind::Paced => &[("CPU time", Metric::Time, 1.0), ("page faults", Metric::Faults, 1.1)],
            Kind::Speed if row.workload == "server" => {
                &[("time", Metric::Time, 1.0), ("p99.9 latency", Metric::Latency("p999_ns"), 1.05)]
            }
            Kind::Speed => &[("time", Metric::Time, 1.0)],
        };
        for (what, metric, bar) in metrics {
            let (Some(ratio), Some((best, _))) = (row.ratio(OURS, *metric), row.best_peer(*metric)) else { continue };
            if loses(ratio / bar) {
                lines.push(format!("{place}: {what} {ratio:.2} of {best}'s"));
            }
        }
        let peak = row.cell(OURS).and_then(|cell| cell.median(Metric::PeakRss));
        if let (true, Some(peak), Some((name, least))) = (row.is_timed(), peak, leanest_quick_peer(row))
            && peak > 1.05 * least
        {
            lines.push(format!("{place}: peak RSS {} MiB, {name} {} MiB", number(peak), number(least)));
        }
    }
    out.push_str("## Where neap loses\n\n");
    if lines.is_empty() {
        out.push_str("Nowhere in this run.\n");
    }
    for line in lines {
        writeln!(out, "- {line}").expect("writing to a string cannot fail");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::record::{Build, Record};
    use super::super::summary::tests::run;
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([number(1234.5), number(12.34), number(1.234)], ["1234", "12.3", "1.23"]);
        assert_eq!([time(12.3), time(4_560.0), time(7.8e6)], ["12.3 ns", "4.56 µs", "7.80 ms"]);
    }

    #[test]
    fn losing_rows_are_bold_and_listed() {
        let records = [
            run("neap", "replace", 0, 3000),
            run("system", "replace", 0, 2000),
            run("neap", "pairs", 0, 1000),
            run("system", "pairs", 0, 2000),
        ];
        let text = render(&Summary::new(&records));
        assert!(text.contains("| replace ×1 | system 20.0 ns | **1.50** | 1.00 |"), "{text}");
        assert!(text.contains("| pairs ×1 | system 20.0 ns | 0.50 | 1.00 |"), "{text}");
        assert!(text.contains("- replace ×1 (default): time 1.50 of system's"), "{text}");
        assert!(!text.contains("- pairs ×1"), "{text}");
    }

    #[test]
    fn failures_are_told() {
        let Record::Run(mut crashed) = run("ferroc", "replace", 0, 1) else { panic!("a run") };
        crashed.failure = Some("crashed with signal 11: bad".into());
        let build = Build {
            allocator: "snmalloc".into(),
            profile: "lto".into(),
            failure: Some("does not build: no cmake".into()),
            ..Build::default()
        };
        let records = [Record::Build(build), Record::Run(crashed), run("system", "replace", 0, 2000)];
        let text = render(&Summary::new(&records));
        assert!(text.contains("| snmalloc | lto | – | does not build: no cmake |"), "{text}");
        assert!(text.contains("| replace ×1 | system 20.0 ns | 1.00 | crashed with signal 11 |"), "{text}");
        assert!(!text.contains("Where neap loses"), "{text}");
    }
}
