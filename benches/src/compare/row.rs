//! A row of the tables: one cell for each allocator, and how the cells compare.
//!
//! A cell's figure is the median of its rounds, a round's that of its turns. The ratio of two cells is taken round by round,
//! because the processes of one round ran within seconds of each other. So a slow minute of the machine cancels out.

use std::collections::BTreeMap;

use neap_workloads::workload::Kind;

use super::allocators::OURS;
use super::metric::Metric;
use super::record::{Header, Run};
use super::statistics::{Spread, median};

/// All runs of one allocator in one row.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The allocator's name.
    pub allocator: String,
    /// Why there are no figures, if any of its processes failed.
    pub failure: Option<String>,
    /// Its runs that count: one or more a round.
    pub runs: Vec<Run>,
    /// The settings that the figures depend on.
    pub(super) header: Header,
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

    /// The best peer and its figure. No other peer is ahead of the best one, if each pair is compared round by round. If the
    /// peers go in a circle, the best one is the peer that is least behind.
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
    /// The same rounds choose the best peer, so the best peer looks a little better than it is. The error favours the peer.
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
