//! The Markdown tables.

use std::fmt::Write;

use neap_workloads::workload::Kind;
use neap_workloads::workloads;

use super::allocators::OURS;
use super::losses::{self, PEAK_BAR, Standing, leanest_quick_peer, standing};
use super::metric::Metric;
use super::row::{Cell, Row};
use super::summary::Summary;
use super::{figures, text};

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

fn bold(text: String, when: bool) -> String {
    if when { format!("**{text}**") } else { text }
}

fn failed(cell: &Cell) -> String {
    let line = cell.failure.as_deref().unwrap_or("no figure");
    line.split(':').next().unwrap_or(line).to_owned()
}

/// One row with a ratio to the best peer for each allocator.
fn ratios(row: &Row, names: &[&str]) -> Vec<String> {
    let mut cells = vec![row.label()];
    match row.best_peer(Metric::Time) {
        Some((name, spread)) => cells.push(format!("{name} {}", text::time(spread.median))),
        None => cells.push("–".into()),
    }
    for name in names {
        cells.push(match (row.ratio(name, Metric::Time), row.cell(name)) {
            (Some(ratio), _) if *name == OURS => match standing(&ratio, 1.0) {
                Standing::Holds => text::ratio(&ratio),
                Standing::Level => format!("*{}*", text::ratio(&ratio)),
                Standing::Behind => format!("**{}**", text::ratio(&ratio)),
            },
            (Some(ratio), _) => text::ratio(&ratio),
            (None, Some(cell)) => failed(cell),
            (None, None) => "–".into(),
        });
    }
    cells
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
    method(&mut out, summary);
    losses::write(&mut out, summary);
    for profile in &summary.profiles {
        let timed: Vec<_> = summary.of_profile(profile).filter(|row| row.is_timed()).collect();
        if timed.is_empty() {
            continue;
        }
        let shape = shape(profile);
        let counted = if summary.header.cpu_time {
            "CPU time is compared, not wall time"
        } else {
            "`phases`, `shifting` and `open-loop` count CPU time, all else wall time"
        };
        writeln!(
            out,
            "## Speed, {shape}\n\nTime over the best peer's in the same round; lower is better. {counted}. Bold: neap is behind \
             beyond the spread; italic: behind, but level within it.\n"
        )
        .expect("writing to a string cannot fail");
        let rows: Vec<_> = timed.iter().map(|row| ratios(row, &names)).collect();
        table(&mut out, &columns(&["workload ×threads", "best peer"], &names), &rows);
        writeln!(out, "Time an operation:\n").expect("writing to a string cannot fail");
        let rows: Vec<_> = timed.iter().map(|row| times(row, &names)).collect();
        table(&mut out, &columns(&["workload ×threads"], &names), &rows);
        writeln!(
            out,
            "### Peak RSS, {shape}\n\nMiB, without the benchmark's own tables. Bold: neap is above 1.05 times the \
             leanest peer that is within 1.5 times of its speed.\n"
        )
        .expect("writing to a string cannot fail");
        let rows: Vec<_> = timed.iter().map(|row| peaks(row, &names)).collect();
        table(&mut out, &columns(&["workload ×threads"], &names), &rows);
        for row in &timed {
            own(&mut out, row, summary.header.idle_seconds);
        }
    }
    for row in summary.rows.iter().filter(|row| row.kind == Kind::Idle) {
        own(&mut out, row, summary.header.idle_seconds);
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

/// How the figures were made of the raw rows.
fn method(out: &mut String, summary: &Summary) {
    out.push_str(
        "Figures are medians of the rounds; a round's figure is the median of its turns, of which a process that is soon over has \
         more than one. ±: within it the median of another run is to be expected, nineteen times of twenty, up or down by \
         that factor; it follows from the rounds' mean distance from their median and from how few they are. It is not given with \
         fewer than three rounds, and it is at least 1 %.",
    );
    if summary.discarded > 0 {
        write!(
            out,
            " {} processes were run again since the machine's host took their processors away (stolen time of 3 % or more).",
            summary.discarded
        )
        .expect("writing to a string cannot fail");
    }
    out.push_str("\n\n");
}

fn times(row: &Row, names: &[&str]) -> Vec<String> {
    let cell = |name: &&str| match row.cell(name) {
        None => "–".to_owned(),
        Some(cell) => cell.spread(Metric::Time).map_or_else(|| failed(cell), |spread| text::time_figure(&spread)),
    };
    std::iter::once(row.label()).chain(names.iter().map(cell)).collect()
}

fn peaks(row: &Row, names: &[&str]) -> Vec<String> {
    let limit = leanest_quick_peer(row, Metric::PeakRss).map(|(_, peak)| PEAK_BAR * peak);
    let cell = |name: &&str| match row.cell(name) {
        None => "–".to_owned(),
        Some(cell) => match cell.spread(Metric::PeakRss) {
            Some(peak) => bold(text::figure(&peak), *name == OURS && limit.is_some_and(|limit| peak.median > limit)),
            None => failed(cell),
        },
    };
    std::iter::once(row.label()).chain(names.iter().map(cell)).collect()
}

/// The row's own table, with the allocators as lines, if it has one.
fn own(out: &mut String, row: &Row, idle_seconds: f64) {
    let metrics = figures::columns(row, idle_seconds);
    if metrics.is_empty() {
        return;
    }
    heading(out, row, idle_seconds);
    let rows: Vec<Vec<String>> = row
        .cells
        .iter()
        .map(|cell| {
            let value = |metric: &(String, Metric)| {
                cell.spread(metric.1).map_or_else(|| failed(cell), |spread| text::figure(&spread))
            };
            let name = bold(cell.allocator.clone(), cell.allocator == OURS);
            std::iter::once(name).chain(metrics.iter().map(value)).collect()
        })
        .collect();
    let names: Vec<_> = metrics.iter().map(|metric| metric.0.as_str()).collect();
    table(out, &columns(&["allocator"], &names), &rows);
}

fn heading(out: &mut String, row: &Row, idle_seconds: f64) {
    let shape = shape(&row.profile);
    let text = match row.kind {
        Kind::Speed => format!("### Latency of {}, {shape}\n\nMicroseconds a request.\n", row.label()),
        Kind::Paced if row.workload == "open-loop" => {
            format!("### Latency of {}, {shape}\n\nMicroseconds a request, waiting included.\n", row.label())
        }
        Kind::Paced => format!("### {}, {shape}\n", row.label()),
        Kind::Program => {
            format!("### {}, {shape}\n\nMemory in MiB; *after* means after all was freed.\n", row.label())
        }
        Kind::Idle => {
            let optimum = row.cells.iter().find_map(|cell| cell.median(Metric::Optimum)).unwrap_or(0.0);
            let mut runs = row.cells.iter().flat_map(|cell| &cell.runs);
            let how = runs.find(|run| !run.physical.is_empty()).map_or("nothing", |run| run.physical.as_str());
            let what = if row.workload == "burst" { "Memory after a burst" } else { "Memory of waiting threads" };
            format!(
                "## {what}: {}, {shape}\n\nMiB, and GiB·s over {idle_seconds} s, without the benchmark's own tables; \
                 page optimum {} MiB or a little more, by placement; physical memory by {how}.\n",
                row.variant,
                text::number(optimum),
            )
        }
    };
    writeln!(out, "{text}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::super::record::{Build, Record};
    use super::super::summary::tests::run;
    use super::*;

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
