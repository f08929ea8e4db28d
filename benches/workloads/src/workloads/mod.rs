//! The list of workloads, one module each. Real code has one module for all its names.

use crate::workload::Workload;

mod burst;
mod compile;
mod large;
mod open_loop;
mod pairs;
mod phases;
mod producer_consumer;
mod real;
mod replace;
mod server;
mod shifting;
mod short_threads;
mod trees;
mod vectors;
mod waiting;
mod zeroed;

/// All workloads, in the order of the tables.
pub static ALL: [Workload; 21] = [
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
    waiting::WORKLOAD,
    shifting::WORKLOAD,
    open_loop::WORKLOAD,
    real::JSON,
    real::RUST_PARSE,
    real::TEXT_INDEX,
    real::HTTP,
    real::STRING_MAP,
    real::SORT_GROUP,
];

/// The workload of that name.
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Scale;
    use crate::workload::{Code, Counts, Job};

    #[test]
    fn every_workload_runs_with_every_variant() {
        for workload in &ALL {
            let Code::Here(run) = workload.code else { continue };
            for variant in workload.variants {
                let threads = workload.counts.on(2)[0].max(2);
                let outcome = run(&Job { threads, scale: Scale::Tiny, variant });
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
