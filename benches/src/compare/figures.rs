//! The figures of a row besides its time and its peak. The tables and the comparison of two runs share this list.

use neap_workloads::workload::Kind;

use super::metric::Metric;
use super::row::Row;

/// The columns of the row's own table, in which the allocators are the lines. Empty when it has none.
pub fn columns(row: &Row, idle_seconds: f64) -> Vec<(String, Metric)> {
    match (row.kind, row.workload) {
        (Kind::Speed, "server") => named(&[
            ("p50", Metric::Latency("p50_ns")),
            ("p99", Metric::Latency("p99_ns")),
            ("p99.9", Metric::Latency("p999_ns")),
            ("max", Metric::Latency("max_ns")),
        ]),
        (Kind::Speed, _) => Vec::new(),
        (Kind::Paced, "open-loop") => named(&[
            ("steady p50", Metric::Latency("steady_p50_ns")),
            ("steady p99.9", Metric::Latency("steady_p999_ns")),
            ("steady p99.99", Metric::Latency("steady_p9999_ns")),
            ("growth p50", Metric::Latency("growth_p50_ns")),
            ("growth p99.9", Metric::Latency("growth_p999_ns")),
            ("growth p99.99", Metric::Latency("growth_p9999_ns")),
            ("first second p99.9", Metric::Latency("first_p999_ns")),
            ("first second max", Metric::Latency("first_max_ns")),
            ("busy %", Metric::Percent("busy_per_mille")),
            ("late p99", Metric::Latency("late_p99_ns")),
            ("mean RSS MiB", Metric::MeanRss),
        ]),
        (Kind::Paced, _) => named(&[
            ("CPU ns/op", Metric::Time),
            ("mean RSS MiB", Metric::MeanRss),
            ("mean physical MiB", Metric::MeanPhysical),
            ("peak RSS MiB", Metric::PeakRss),
            ("faults/1000 ops", Metric::Faults),
        ]),
        (Kind::Program, _) => named(&[
            ("CPU ns/op", Metric::Cpu),
            ("kernel ns/op", Metric::System),
            ("mean RSS MiB", Metric::MeanRss),
            ("RSS before", Metric::Bytes("baseline_rss_bytes")),
            ("RSS 1 s after", Metric::RssAfter(1.0)),
            ("RSS 2 s after", Metric::RssAfter(2.0)),
            ("RSS 7 s after", Metric::RssAfter(7.0)),
        ]),
        (Kind::Idle, workload) => {
            let late = idle_seconds.min(10.0);
            let times = if workload == "waiting" { vec![0.0, 3.0, late] } else { vec![2.0, late] };
            let mut columns = Vec::new();
            for (name, at, integral) in [
                ("RSS", Metric::RssAt as fn(f64) -> Metric, Metric::RssIntegral),
                ("physical", Metric::PhysicalAt, Metric::PhysicalIntegral),
            ] {
                columns.extend(times.iter().map(|time| (format!("{name} {time} s"), at(*time))));
                columns.push((format!("{name} GiB·s"), integral));
            }
            columns.extend(named(&[("page optimum", Metric::Optimum), ("idle CPU ms", Metric::IdleCpu)]));
            columns
        }
    }
}

fn named(columns: &[(&str, Metric)]) -> Vec<(String, Metric)> {
    columns.iter().map(|(name, metric)| ((*name).to_owned(), *metric)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: Kind, workload: &'static str) -> Vec<String> {
        let row =
            Row { profile: "default".into(), workload, variant: String::new(), threads: 2, kind, cells: Vec::new() };
        columns(&row, 12.0).into_iter().map(|column| column.0).collect()
    }

    #[test]
    fn bursts_and_waiting_threads_are_looked_at_at_their_own_times() {
        let burst = ["RSS 2 s", "RSS 10 s", "RSS GiB·s", "physical 2 s", "physical 10 s", "physical GiB·s"];
        assert_eq!(names(Kind::Idle, "burst")[..6], burst);
        assert_eq!(names(Kind::Idle, "waiting")[..4], ["RSS 0 s", "RSS 3 s", "RSS 10 s", "RSS GiB·s"]);
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        for workload in &neap_workloads::workloads::ALL {
            let mut names = names(workload.kind, workload.name);
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "{}", workload.name);
        }
    }
}
