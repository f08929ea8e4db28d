//! The figures of a row besides its time and its peak. The tables and the comparison of two runs share this list.

use neap_workloads::workload::Kind;

use super::metric::Metric;
use super::row::Row;

/// The columns of the row's own table, in which the allocators are the lines. Empty when it has none.
pub fn columns(row: &Row, idle_seconds: f64) -> Vec<(String, Metric)> {
    let late = idle_seconds.min(10.0);
    let columns: Vec<(&str, Metric)> = match row.kind {
        Kind::Speed if row.workload == "server" => vec![
            ("p50", Metric::Latency("p50_ns")),
            ("p99", Metric::Latency("p99_ns")),
            ("p99.9", Metric::Latency("p999_ns")),
            ("max", Metric::Latency("max_ns")),
        ],
        Kind::Speed => Vec::new(),
        Kind::Paced => vec![
            ("CPU ns/op", Metric::Time),
            ("mean RSS MiB", Metric::MeanRss),
            ("mean physical MiB", Metric::MeanPhysical),
            ("peak RSS MiB", Metric::PeakRss),
            ("faults/1000 ops", Metric::Faults),
        ],
        Kind::Idle => {
            let late_rss = format!("RSS {late} s");
            let late_physical = format!("physical {late} s");
            return vec![
                ("RSS 2 s".into(), Metric::RssAt(2.0)),
                (late_rss, Metric::RssAt(late)),
                ("RSS GiB·s".into(), Metric::RssIntegral),
                ("physical 2 s".into(), Metric::PhysicalAt(2.0)),
                (late_physical, Metric::PhysicalAt(late)),
                ("physical GiB·s".into(), Metric::PhysicalIntegral),
                ("page optimum".into(), Metric::Optimum),
                ("idle CPU ms".into(), Metric::IdleCpu),
            ];
        }
    };
    columns.into_iter().map(|(name, metric)| (name.to_owned(), metric)).collect()
}
