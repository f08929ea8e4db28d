//! From raw rows to the rows of the tables.

use neap_workloads::workload::Workload;
use neap_workloads::workloads;

use super::allocators;
use super::record::{Build, Header, Record, Run};
use super::row::{Cell, Row};

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
    use super::super::metric::Metric;
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
}
