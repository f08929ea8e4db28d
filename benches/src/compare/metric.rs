//! The figures of a run: what each is called, and how it follows from what the process printed and from the samples.

use neap_workloads::workload::Kind;
use neap_workloads::workloads;

use super::record::{Header, Run};
use super::statistics::{integral, mean, value_at};

/// MiB of bytes.
const MIB: f64 = 1024.0 * 1024.0;

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// Nanoseconds an operation: of wall time, or of CPU time where the work is paced.
    Time,
    /// Peak RSS less the benchmark's own tables, MiB.
    PeakRss,
    /// Page faults for a thousand operations.
    Faults,
    /// A latency, microseconds; the figure's name.
    Latency(&'static str),
    /// Mean RSS over time, MiB.
    MeanRss,
    /// Mean physical memory over time, MiB.
    MeanPhysical,
    /// RSS at a time after the burst, MiB.
    RssAt(f64),
    /// Physical memory at a time after the burst, MiB.
    PhysicalAt(f64),
    /// RSS over the watched time, GiB*s.
    RssIntegral,
    /// Physical memory over the watched time, GiB*s.
    PhysicalIntegral,
    /// The page optimum, MiB.
    Optimum,
    /// CPU time while idle, ms.
    IdleCpu,
}

impl Metric {
    /// This figure of a run; none where the run does not have it.
    pub fn of(self, run: &Run, header: &Header) -> Option<f64> {
        let idle_seconds = header.idle_seconds;
        let ops = run.figure("ops").filter(|ops| *ops > 0.0);
        let resident = || run.memory().map(|(at, resident, _)| (at, resident)).collect::<Vec<_>>();
        let physical = || run.memory().map(|(at, _, physical)| (at, physical)).collect::<Vec<_>>();
        let watched = |points: Vec<(f64, f64)>| (!points.is_empty()).then_some(points);
        match self {
            Metric::Time => {
                let paced = workloads::find(&run.workload).is_some_and(|workload| workload.kind == Kind::Paced);
                let by_cpu = paced || header.cpu_time;
                let ns =
                    if by_cpu { run.figure("user_ns")? + run.figure("system_ns")? } else { run.figure("wall_ns")? };
                Some(ns / ops?)
            }
            Metric::PeakRss => Some((run.figure("peak_rss_bytes")? - run.figure("bookkeeping_bytes")?).max(0.0) / MIB),
            Metric::Faults => Some(1000.0 * run.figure("minor_faults")? / ops?),
            Metric::Latency(name) => Some(run.figure(name)? / 1000.0),
            Metric::MeanRss => mean(&resident()).map(|bytes| bytes / MIB),
            Metric::MeanPhysical => mean(&physical()).map(|bytes| bytes / MIB),
            Metric::RssAt(time) => value_at(&resident(), time).map(|bytes| bytes / MIB),
            Metric::PhysicalAt(time) => value_at(&physical(), time).map(|bytes| bytes / MIB),
            Metric::RssIntegral => watched(resident()).map(|points| integral(&points, idle_seconds) / MIB / 1024.0),
            Metric::PhysicalIntegral => {
                watched(physical()).map(|points| integral(&points, idle_seconds) / MIB / 1024.0)
            }
            Metric::Optimum => Some(run.figure("page_optimum_bytes")? / MIB),
            Metric::IdleCpu => Some(run.figure("idle_cpu_ns")? / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_figures() {
        let mut burst = Run {
            samples: (0..=100).map(|tick| (f64::from(tick) / 10.0, 1 << 30, 2 << 30)).collect(),
            ..Run::default()
        };
        let watched = |idle_seconds| Header { idle_seconds, ..Header::default() };
        burst.figures.insert("page_optimum_bytes".into(), 1 << 20);
        assert_eq!(Metric::RssAt(2.0).of(&burst, &watched(10.0)), Some(1024.0));
        assert!((Metric::RssIntegral.of(&burst, &watched(10.0)).unwrap() - 10.0).abs() < 1e-9);
        assert!((Metric::PhysicalIntegral.of(&burst, &watched(12.0)).unwrap() - 24.0).abs() < 1e-9);
        assert_eq!(Metric::Optimum.of(&burst, &watched(10.0)), Some(1.0));
        burst.figures.insert("idle_bookkeeping_bytes".into(), 24 << 20);
        assert_eq!(Metric::RssAt(2.0).of(&burst, &watched(10.0)), Some(1000.0), "without the benchmark's tables");
        assert_eq!(Metric::PhysicalAt(2.0).of(&burst, &watched(10.0)), Some(2024.0));
        assert_eq!(Metric::RssAt(2.0).of(&Run::default(), &watched(10.0)), None);
    }
}
