//! (11) Trees and maps: binary trees of boxes, an ordered map with half of its entries removed again, and a hash map of
//! strings to small vectors, built and dropped.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::hint::black_box;

use crate::outcome::Outcome;
use crate::random::Random;
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "trees",
    about: "building and dropping binary trees, an ordered map and a hash map of strings",
    operation: "node",
    variants: PLAIN,
    counts: Counts::UpToCores,
    kind: Kind::Speed,
    code: Code::Here(run),
};

struct Tree {
    left: Option<Box<Tree>>,
    right: Option<Box<Tree>>,
    value: u64,
}

fn tree(depth: u32, value: u64) -> Box<Tree> {
    let child = |side: u64| (depth > 0).then(|| tree(depth - 1, value.wrapping_mul(2) + side));
    Box::new(Tree { left: child(0), right: child(1), value })
}

fn sum(tree: &Tree) -> u64 {
    let side = |child: &Option<Box<Tree>>| child.as_ref().map_or(0, |child| sum(child));
    tree.value.wrapping_add(side(&tree.left)).wrapping_add(side(&tree.right))
}

/// Depth of a binary tree: 65,535 nodes.
const DEPTH: u32 = 15;
/// Entries of each map.
const ENTRIES: usize = 30_000;

fn round(random: &mut Random) -> usize {
    let tree = tree(DEPTH, random.bits());
    black_box(sum(&tree));

    let mut ordered: BTreeMap<u64, Box<[u64; 5]>> = BTreeMap::new();
    let keys = random.bits();
    for index in 0..ENTRIES as u64 {
        ordered.insert(index.wrapping_mul(keys | 1), Box::new([index; 5]));
    }
    for index in (0..ENTRIES as u64).step_by(2) {
        ordered.remove(&index.wrapping_mul(keys | 1));
    }
    black_box(ordered.len());

    let mut hashed: HashMap<String, Vec<u32>, BuildHasherDefault<DefaultHasher>> = HashMap::default();
    for index in 0..ENTRIES {
        let name = format!("name-{:x}", random.below(ENTRIES));
        hashed.entry(name).or_default().push(index as u32);
    }
    black_box(hashed.len());
    drop(tree);
    (2 << DEPTH) - 1 + 2 * ENTRIES
}

fn run(job: &Job) -> Outcome {
    let rounds = (job.scale.of(8) / job.threads).max(1);
    let mut states = vec![0usize; job.threads];
    let measured = threads::run(&mut states, |index, nodes| {
        let mut random = Random::new(index as u64);
        for _ in 0..rounds {
            *nodes += round(&mut random);
        }
    });
    Outcome::new(states.iter().sum::<usize>() as u64, measured)
}
