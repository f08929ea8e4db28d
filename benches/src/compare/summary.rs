//! From raw rows to the figures of the tables.
//!
//! A cell's figure is the median of its rounds, a round's that of its turns. The ratio of two cells is taken round by round,
//! since the processes of one round ran within seconds of each other: what the machine did in another minute cancels out.

use std::collections::BTreeMap;

use neap_workloads::workloads::{self, Kind, Workload};

use super::allocators::{self, OURS};
use super::record::{Build, Header, Record, Run};
use super::statistics::{Spread, integral, mean, median, value_at};

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
    fn of(self, run: &Run, header: &Header) -> Option<f64> {
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

/// All runs of one allocator in one row.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The allocator's name.
    pub allocator: String,
    /// Why there are no figures, if any of its processes failed.
    pub failure: Option<String>,
    /// Its runs that count: one or more a round.
    pub runs: Vec<Run>,
    header: Header,
}

impl Cell {
    /// A figure for each round: the median of the round's turns. Empty for a failed cell: half a result is not one.
    pub fn rounds(&self, metric: Metric) -> BTreeMap<usize, f64> {
        let mut turns: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        if self.failure.is_none() {
            for run in &self.runs {
                turns.entry(run.round).or_default().extend(metric.of(run, &self.header));
            }
        }
        turns.into_iter().filter_map(|(round, values)| Some((round, median(&values)?))).collect()
    }

    /// A figure over all rounds.
    pub fn spread(&self, metric: Metric) -> Option<Spread> {
        Spread::of(&self.rounds(metric).into_values().collect::<Vec<_>>())
    }

    /// Its median.
    pub fn median(&self, metric: Metric) -> Option<f64> {
        self.spread(metric).map(|spread| spread.median)
    }
}

/// One row: a workload with a variant on so many threads, in a profile.
#[derive(Clone, Debug)]
pub struct Row {
    /// The profile's name.
    pub profile: String,
    /// The workload.
    pub workload: &'static str,
    /// The variant, or empty.
    pub variant: String,
    /// Worker threads.
    pub threads: usize,
    /// How it is watched.
    pub kind: Kind,
    /// One cell for each allocator that was built, in table order.
    pub cells: Vec<Cell>,
}

impl Row {
    /// The allocator's cell.
    pub fn cell(&self, allocator: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.allocator == allocator)
    }

    /// The best peer, and its figure: the one that no other peer is ahead of, each pair compared round by round (or the one
    /// that is least behind, should they go in a circle).
    pub fn best_peer(&self, metric: Metric) -> Option<(&str, Spread)> {
        let peers: Vec<_> = self
            .cells
            .iter()
            .filter(|cell| cell.allocator != OURS)
            .map(|cell| (cell, cell.rounds(metric)))
            .filter(|peer| !peer.1.is_empty())
            .collect();
        let lead = |one: &BTreeMap<usize, f64>| {
            let others = peers.iter().filter_map(|other| median(&by_rounds(&other.1, one)));
            others.fold(f64::INFINITY, f64::min)
        };
        peers
            .iter()
            .max_by(|one, other| lead(&one.1).total_cmp(&lead(&other.1)))
            .and_then(|(cell, _)| Some((cell.allocator.as_str(), cell.spread(metric)?)))
    }

    /// An allocator's figure over the best peer's, round by round. For the best peer itself 1, without a spread.
    ///
    /// The best of several is chosen by the same rounds, so it looks a little better than it is: the error is on its side.
    pub fn ratio(&self, allocator: &str, metric: Metric) -> Option<Spread> {
        self.ratio_to(allocator, self.best_peer(metric)?.0, metric)
    }

    /// An allocator's figure over another's, round by round. For the same one 1, without a spread.
    pub fn ratio_to(&self, allocator: &str, other: &str, metric: Metric) -> Option<Spread> {
        let ratio = Spread::of(&by_rounds(&self.cell(allocator)?.rounds(metric), &self.cell(other)?.rounds(metric)))?;
        Some(if allocator == other { Spread { factor: None, ..ratio } } else { ratio })
    }

    /// Name, variant and threads.
    pub fn label(&self) -> String {
        let variant = if self.variant.is_empty() { String::new() } else { format!(" {}", self.variant) };
        format!("{}{variant} ×{}", self.workload, self.threads)
    }

    /// Whether the row is compared by time.
    pub fn is_timed(&self) -> bool {
        self.kind != Kind::Idle
    }
}

/// The ratio of two figures in each round that has both.
fn by_rounds(one: &BTreeMap<usize, f64>, other: &BTreeMap<usize, f64>) -> Vec<f64> {
    let common = one.iter().filter_map(|(round, value)| Some((value, other.get(round).filter(|it| **it > 0.0)?)));
    common.map(|(value, it)| value / it).collect()
}

/// Everything the tables and plots show.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The machine.
    pub header: Header,
    /// How the runners were built.
    pub builds: Vec<Build>,
    /// Sentences for the reader.
    pub notes: Vec<String>,
    /// Processes that do not count because the machine's host robbed them of its processors.
    pub discarded: usize,
    /// Profiles in order of appearance.
    pub profiles: Vec<String>,
    /// Rows in the order of the workloads.
    pub rows: Vec<Row>,
}

impl Summary {
    /// Gathers raw rows.
    pub fn new(records: &[Record]) -> Self {
        let mut summary = Summary::default();
        let mut runs: Vec<&Run> = Vec::new();
        for record in records {
            match record {
                Record::Header(header) => summary.header = header.clone(),
                Record::Build(build) => summary.builds.push(build.clone()),
                Record::Note { text } => summary.notes.push(text.clone()),
                Record::Run(run) if run.discarded => summary.discarded += 1,
                Record::Run(run) => runs.push(run),
            }
        }
        for run in &runs {
            if !summary.profiles.contains(&run.profile) {
                summary.profiles.push(run.profile.clone());
            }
        }
        for profile in summary.profiles.clone() {
            for workload in &workloads::ALL {
                summary.gather(&profile, workload, &runs);
            }
        }
        summary
    }

    fn gather(&mut self, profile: &str, workload: &'static Workload, runs: &[&Run]) {
        let mine = |run: &&&Run| run.profile == profile && run.workload == workload.name;
        let mut keys: Vec<_> = runs.iter().filter(mine).map(|run| (run.variant.clone(), run.threads)).collect();
        let position = |variant: &str| workload.variants.iter().position(|known| *known == variant);
        keys.sort_by_key(|(variant, threads)| (position(variant), *threads));
        keys.dedup();
        for (variant, threads) in keys {
            let here = |run: &&&Run| mine(run) && run.variant == variant && run.threads == threads;
            let cells = allocators::ALL
                .iter()
                .filter_map(|allocator| {
                    let runs: Vec<Run> = runs
                        .iter()
                        .filter(here)
                        .filter(|run| run.allocator == allocator.name)
                        .map(|run| Run::clone(run))
                        .collect();
                    (!runs.is_empty()).then(|| Cell {
                        allocator: allocator.name.into(),
                        failure: runs.iter().find_map(|run| run.failure.clone()),
                        runs,
                        header: Header { lines: Vec::new(), ..self.header.clone() },
                    })
                })
                .collect();
            let kind = workload.kind;
            self.rows.push(Row { profile: profile.into(), workload: workload.name, variant, threads, kind, cells });
        }
    }

    /// Names of all allocators that ran, in table order.
    pub fn allocators(&self) -> Vec<&'static str> {
        let ran = |name: &str| self.rows.iter().any(|row| row.cell(name).is_some());
        allocators::ALL.iter().map(|allocator| allocator.name).filter(|name| ran(name)).collect()
    }

    /// The rows of a profile.
    pub fn of_profile<'a>(&'a self, profile: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.profile == profile)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn run(allocator: &str, workload: &str, round: usize, wall_ns: u64) -> Record {
        let figures = [("ops", 100), ("wall_ns", wall_ns), ("peak_rss_bytes", 9 << 20), ("bookkeeping_bytes", 1 << 20)];
        Record::Run(Run {
            round,
            allocator: allocator.into(),
            profile: "default".into(),
            workload: workload.into(),
            threads: 1,
            figures: figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..Run::default()
        })
    }

    #[test]
    fn medians_and_ratios() {
        let mut records = Vec::new();
        for (round, ns) in [1000, 3000, 2000].into_iter().enumerate() {
            records.push(run("system", "replace", round, 2 * ns));
            records.push(run("mimalloc3", "replace", round, ns));
            records.push(run("neap", "replace", round, ns / 2));
        }
        let summary = Summary::new(&records);
        assert_eq!(summary.allocators(), ["neap", "system", "mimalloc3"]);
        let row = &summary.rows[0];
        let (best, spread) = row.best_peer(Metric::Time).unwrap();
        assert_eq!((best, spread.median, spread.count), ("mimalloc3", 20.0, 3));
        assert!(spread.low() < 10.0 && spread.high() > 30.0, "{spread:?}");
        let ratio = row.ratio("neap", Metric::Time).unwrap();
        assert_eq!((ratio.median, ratio.factor), (0.5, Some(1.01)), "rounds three times as slow cancel out");
        assert_eq!(row.ratio("system", Metric::Time).unwrap().median, 2.0);
        let best = row.ratio("mimalloc3", Metric::Time).unwrap();
        assert_eq!((best.median, best.factor), (1.0, None));
        assert_eq!(row.cell("neap").unwrap().median(Metric::PeakRss), Some(8.0));
    }

    #[test]
    fn turns_count_by_their_median_and_robbed_ones_not_at_all() {
        let mut records = Vec::new();
        for (turn, ns) in [1000, 9000, 2000, 90_000].into_iter().enumerate() {
            let Record::Run(mut run) = run("system", "replace", 0, ns) else { panic!("a run") };
            (run.turn, run.discarded) = (turn, ns == 90_000);
            records.push(Record::Run(run));
        }
        records.push(run("system", "replace", 1, 4000));
        let summary = Summary::new(&records);
        assert_eq!(summary.discarded, 1);
        let rounds = summary.rows[0].cell("system").unwrap().rounds(Metric::Time);
        assert_eq!(rounds.into_iter().collect::<Vec<_>>(), [(0, 20.0), (1, 40.0)]);
    }

    #[test]
    fn what_slows_a_whole_round_cancels_out() {
        let mut records = Vec::new();
        for (round, slow) in [1, 2, 5, 10, 20, 30].into_iter().enumerate() {
            for (name, ns) in [("system", 1000), ("mimalloc3", 1100), ("jemalloc", 1500)] {
                records.push(run(name, "replace", round, slow * ns));
            }
        }
        let row = &Summary::new(&records).rows[0];
        assert_eq!(row.best_peer(Metric::Time).unwrap().0, "system");
        let ratio = row.ratio("jemalloc", Metric::Time).unwrap();
        assert!((ratio.median - 1.5).abs() < 1e-9 && ratio.high() < 1.52, "{ratio:?}");
    }

    #[test]
    fn no_peer_is_ahead_of_the_best() {
        let mut records = Vec::new();
        // By their medians the system's 20 is behind mimalloc's 19; round by round it is ahead twice.
        for (round, (one, other)) in [(1000, 1500), (2000, 2100), (4000, 1900)].into_iter().enumerate() {
            records.push(run("system", "replace", round, one));
            records.push(run("mimalloc3", "replace", round, other));
        }
        let row = &Summary::new(&records).rows[0];
        let (best, figure) = row.best_peer(Metric::Time).unwrap();
        assert_eq!((best, figure.median), ("system", 20.0));
        assert!(row.ratio("mimalloc3", Metric::Time).unwrap().median > 1.0);
    }

    #[test]
    fn one_failed_round_spoils_a_cell() {
        let Record::Run(mut failed) = run("system", "replace", 1, 1) else { panic!("a run") };
        failed.failure = Some("crashed with signal 11".into());
        let records = [run("system", "replace", 0, 1000), Record::Run(failed), run("mimalloc3", "replace", 0, 4000)];
        let summary = Summary::new(&records);
        let row = &summary.rows[0];
        assert_eq!(row.cell("system").unwrap().median(Metric::Time), None);
        assert_eq!(row.best_peer(Metric::Time).unwrap().0, "mimalloc3");
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
