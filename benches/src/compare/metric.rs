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
    /// Nanoseconds of CPU time an operation, in the program and in the kernel.
    Cpu,
    /// Nanoseconds of CPU time an operation in the kernel.
    System,
    /// Peak RSS less the benchmark's own tables, MiB.
    PeakRss,
    /// Page faults for a thousand operations.
    Faults,
    /// A latency, microseconds; the figure's name.
    Latency(&'static str),
    /// A figure in parts per thousand, as percent.
    Percent(&'static str),
    /// A figure in bytes, as MiB.
    Bytes(&'static str),
    /// Mean RSS over the time of the work, MiB.
    MeanRss,
    /// Mean physical memory over the time of the work, MiB.
    MeanPhysical,
    /// RSS at a time after the burst, MiB.
    RssAt(f64),
    /// Physical memory at a time after the burst, MiB.
    PhysicalAt(f64),
    /// RSS at a time after all was freed, MiB.
    RssAfter(f64),
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
        let worked = |mut points: Vec<(f64, f64)>| {
            points.retain(|point| run.freed.is_none_or(|freed| point.0 <= freed));
            mean(&points).map(|bytes| bytes / MIB)
        };
        let cpu_ns = || Some(run.figure("user_ns")? + run.figure("system_ns")?);
        let watched = |points: Vec<(f64, f64)>| (!points.is_empty()).then_some(points);
        match self {
            Metric::Time => {
                let paced = workloads::find(&run.workload).is_some_and(|workload| workload.kind == Kind::Paced);
                let by_cpu = paced || header.cpu_time;
                let ns = if by_cpu { cpu_ns()? } else { run.figure("wall_ns")? };
                Some(ns / ops?)
            }
            Metric::Cpu => Some(cpu_ns()? / ops?),
            Metric::System => Some(run.figure("system_ns")? / ops?),
            Metric::PeakRss => Some((run.figure("peak_rss_bytes")? - run.figure("bookkeeping_bytes")?).max(0.0) / MIB),
            Metric::Faults => Some(1000.0 * run.figure("minor_faults")? / ops?),
            Metric::Latency(name) => Some(run.figure(name)? / 1000.0),
            Metric::Percent(name) => Some(run.figure(name)? / 10.0),
            Metric::Bytes(name) => Some(run.figure(name)? / MIB),
            Metric::MeanRss => worked(resident()),
            Metric::MeanPhysical => worked(physical()),
            Metric::RssAfter(time) => value_at(&resident(), run.freed? + time).map(|bytes| bytes / MIB),
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
    fn a_programs_work_and_its_end_count_apart() {
        // Two seconds of work with 100 MiB, then all is freed and 10 MiB stay.
        let memory = |tick: i32| if tick <= 20 { 100 << 20 } else { 10 << 20 };
        let mut run = Run {
            workload: "json".into(),
            samples: (0..=100).map(|tick| (f64::from(tick) / 10.0, memory(tick), memory(tick))).collect(),
            freed: Some(2.05),
            ..Run::default()
        };
        let header = Header::default();
        assert_eq!(Metric::MeanRss.of(&run, &header), Some(100.0));
        assert_eq!(Metric::RssAfter(0.0).of(&run, &header), Some(100.0), "the last sample before");
        assert_eq!(Metric::RssAfter(1.0).of(&run, &header), Some(10.0));
        for (name, value) in [("ops", 10), ("wall_ns", 500), ("user_ns", 300), ("system_ns", 100)] {
            run.figures.insert(name.into(), value);
        }
        assert_eq!(Metric::Time.of(&run, &header), Some(50.0));
        assert_eq!((Metric::Cpu.of(&run, &header), Metric::System.of(&run, &header)), (Some(40.0), Some(10.0)));
        run.freed = None;
        assert_eq!(Metric::RssAfter(1.0).of(&run, &header), None);
    }

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
