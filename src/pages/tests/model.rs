//! Random programs of operations against the naive model.

use proptest::prelude::*;
use std::vec::Vec;

use super::support::{recycle, root_memory, table};
use crate::pages::model::{Model, OP_BYTES, Op};

/// Operations in one program.
const PROGRAM: usize = 250;

/// How many programs make the wanted number of steps: `PROPTEST_STEPS`, or else a default that is quick enough for every run.
fn programs() -> u32 {
    let every_day = if cfg!(debug_assertions) { 2_000_u32 } else { 20_000 };
    let steps = std::env::var("PROPTEST_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(every_day);
    steps.div_ceil(PROGRAM as u32)
}

/// Runs the operations, then the program.
fn run(ops: &[Op], program: &[u8]) {
    let mut supply = root_memory;
    let mut model = Model::new(table(), &mut supply);
    for op in ops {
        model.step(*op);
    }
    model.run(program);
    recycle(model.into_table());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: programs(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn allocator_equals_model(program in proptest::collection::vec(any::<[u8; OP_BYTES]>(), PROGRAM)) {
        // Nothing happens in an empty heap, so the heap begins with some memory on both sides of a root's border.
        run(&[Op::Grow(6, 4), Op::Grow(1, 1)], program.as_flattened());
    }
}

#[test]
fn every_operation_can_be_decoded() {
    let mut seen: Vec<core::mem::Discriminant<Op>> = Vec::new();
    for code in 0..=255 {
        let kind = core::mem::discriminant(&Op::decode([code, 1, 2, 3, 4, 5, 6, 7]));
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    }
    assert_eq!(seen.len(), 16);
}
