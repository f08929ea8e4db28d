//! The list of workloads, one module each.

use crate::workload::Workload;

mod burst;
mod compile;
mod large;
mod pairs;
mod phases;
mod producer_consumer;
mod replace;
mod server;
mod short_threads;
mod trees;
mod vectors;
mod zeroed;

/// All workloads, in the order of the tables.
pub static ALL: [Workload; 12] = [
    replace::WORKLOAD,
    pairs::WORKLOAD,
    producer_consumer::WORKLOAD,
    large::WORKLOAD,
    zeroed::WORKLOAD,
    vectors::WORKLOAD,
    server::WORKLOAD,
    short_threads::WORKLOAD,
    burst::WORKLOAD,
    phases::WORKLOAD,
    trees::WORKLOAD,
    compile::WORKLOAD,
];

/// The workload of that name.
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Scale;
    use crate::workload::{Counts, Job};

    #[test]
    fn every_workload_runs_with_every_variant() {
        for workload in &ALL {
            for variant in workload.variants {
                let threads = workload.counts.on(2)[0].max(2);
                let outcome = (workload.run)(&Job { threads, scale: Scale::Tiny, variant });
                assert!(outcome.get("ops") > Some(0), "{} {variant}", workload.name);
                assert!(outcome.get("wall_ns") > Some(0), "{} {variant}", workload.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_counts_fit_the_machine() {
        for (index, workload) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|earlier| earlier.name != workload.name));
        }
        assert_eq!(Counts::All.on(2), [1, 2, 8]);
        assert_eq!(Counts::Parallel.on(1), [2, 8]);
    }
}
