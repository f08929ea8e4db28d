//! Records with strings are sorted, grouped and summed up in parallel (rayon).

use std::collections::{BTreeMap, HashMap};

use neap_workloads::outcome::Outcome;
use neap_workloads::random::Random;
use neap_workloads::workload::Job;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::program::{self, Done};
use crate::text;

const RECORDS: usize = 700_000;
const GROUPS: usize = 12_000;
const ROUNDS: usize = 2;

#[derive(Clone)]
struct Record {
    name: String,
    group: String,
    amount: u64,
    notes: Vec<u32>,
}

fn record(number: usize) -> Record {
    let mut random = Random::new(11_000 + number as u64);
    Record {
        name: format!("{} {}", text::word(random.below(100_000)), text::word(random.below(5_000))),
        group: format!("group {}", text::word(text::common(&mut random, GROUPS))),
        amount: random.below(1_000) as u64,
        notes: (0..random.below(12) as u32).collect(),
    }
}

/// What the records of a group add up to.
#[derive(Default)]
struct Group {
    count: u64,
    amount: u64,
    names: Vec<String>,
}

impl Group {
    fn add(&mut self, other: Group) {
        self.count += other.count;
        self.amount += other.amount;
        self.names.extend(other.names);
    }
}

/// One round: make, sort, group, render.
fn round(count: usize) -> u64 {
    let mut records: Vec<Record> = (0..count).into_par_iter().map(record).collect();
    let amount: u64 = records.par_iter().map(|record| record.amount).sum();
    let by_group = records
        .par_iter()
        .fold(HashMap::<String, Group>::new, |mut groups, record| {
            let group = groups.entry(record.group.clone()).or_default();
            group.count += 1;
            group.amount += record.amount;
            if record.amount > 900 {
                group.names.push(record.name.clone());
            }
            groups
        })
        .reduce(HashMap::new, |mut one, other| {
            for (name, group) in other {
                one.entry(name).or_default().add(group);
            }
            one
        });
    assert_eq!(by_group.values().map(|group| group.count).sum::<u64>(), count as u64);
    assert_eq!(by_group.values().map(|group| group.amount).sum::<u64>(), amount);
    records.par_sort_by(|one, other| one.name.cmp(&other.name).then(one.amount.cmp(&other.amount)));
    assert!(records.par_windows(2).all(|pair| pair[0].name <= pair[1].name), "the records are not sorted");
    let dear: Vec<Record> = records.par_iter().filter(|record| record.amount > 500).cloned().collect();
    let notes: u64 = dear.par_iter().map(|record| record.notes.len() as u64).sum();
    let ordered: BTreeMap<String, Group> = by_group.into_iter().collect();
    let lines: Vec<String> = ordered
        .par_iter()
        .map(|(name, group)| {
            format!("{name}: {} records, {} in all, {} dear", group.count, group.amount, group.names.len())
        })
        .collect();
    lines.iter().map(|line| line.len() as u64).sum::<u64>() + amount + notes
}

pub fn run(job: &Job) -> Outcome {
    let count = job.scale.of(RECORDS).max(1_000);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(job.threads).build().expect("threads can be started");
    program::run(
        job,
        pool,
        || (),
        |pool: &ThreadPool, ()| {
            let sums: Vec<u64> = (0..ROUNDS).map(|_| pool.install(|| round(count))).collect();
            assert!(sums.iter().all(|sum| *sum == sums[0]), "the same records gave different sums");
            Done { ops: (ROUNDS * count) as u64, checksum: sums[0] }
        },
    )
}
