//! The allocator against a naive model: random layouts with alignments up to 2 MiB and sizes up to 64 MiB. The model knows who
//! owns which address, and checks that contents do not change.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;

use common::{MIB, Random};
use proptest::prelude::*;

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

/// An operation on the allocator. Indices are taken modulo the number of live blocks.
#[derive(Clone, Debug)]
enum Op {
    Alloc { size: usize, align_shift: u32, zeroed: bool },
    Realloc { index: usize, size: usize },
    Free { index: usize },
    Scavenge,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        1 => Just(0usize),
        12 => 1usize..1200,
        8 => 1usize..40_000,
        // Around the edge between slots and spans, and around pages.
        4 => 30_000usize..36_000,
        4 => (1usize..9, 0usize..3).prop_map(|(pages, off)| pages * 8192 + off - 1),
        4 => 40_000usize..(3 * MIB),
        1 => MIB..64 * MIB,
    ]
}

fn op() -> impl Strategy<Value = Op> {
    // Mostly small alignments, but all of them.
    let align = prop_oneof![6 => 0u32..5, 2 => 5u32..14, 2 => 14u32..22];
    prop_oneof![
        6 => (size(), align, any::<bool>())
            .prop_map(|(size, align_shift, zeroed)| Op::Alloc { size, align_shift, zeroed }),
        3 => (any::<usize>(), size()).prop_map(|(index, size)| Op::Realloc { index, size }),
        5 => any::<usize>().prop_map(|index| Op::Free { index }),
        1 => Just(Op::Scavenge),
    ]
}

struct Block {
    base: *mut u8,
    layout: Layout,
    seed: u64,
}

/// Places whose content is checked: both ends, and one byte in every OS page at least.
fn places(size: usize) -> impl Iterator<Item = usize> {
    let step = (size / 97).clamp(1, 4093);
    (0..size).step_by(step).chain(size.checked_sub(1))
}

fn byte(seed: u64, place: usize) -> u8 {
    (seed ^ place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]
}

impl Block {
    fn fill(&self) {
        for place in places(self.layout.size()) {
            // SAFETY: inside the block.
            unsafe { self.base.add(place).write(byte(self.seed, place)) };
        }
    }

    /// The first byte that is not as it was written with a layout of `size`.
    fn changed(&self, size: usize, up_to: usize) -> Option<usize> {
        // SAFETY: inside the block.
        places(size)
            .filter(|place| *place < up_to)
            .find(|&place| unsafe { self.base.add(place).read() } != byte(self.seed, place))
    }
}

#[derive(Default)]
struct Model {
    blocks: Vec<Block>,
    /// For each live block: its first address, and the address behind its last byte.
    owned: BTreeMap<usize, usize>,
    live_bytes: usize,
    seed: u64,
}

/// More than this is not kept alive at once.
const MOST_LIVE_BYTES: usize = 160 * MIB;

impl Model {
    /// A new block is aligned and nobody else's.
    fn own(&mut self, base: *mut u8, layout: Layout) -> Result<(), TestCaseError> {
        prop_assert!(!base.is_null(), "{layout:?} got null");
        let (from, end) = (base.addr(), base.addr() + layout.size().max(1));
        prop_assert!(from % layout.align() == 0, "{from:#x} for {layout:?}");
        let below = self.owned.range(..end).next_back();
        prop_assert!(below.is_none_or(|(_, end)| *end <= from), "{layout:?} at {from:#x} overlaps {below:x?}");
        self.owned.insert(from, end);
        self.live_bytes += layout.size();
        Ok(())
    }

    fn disown(&mut self, index: usize) -> Block {
        let block = self.blocks.swap_remove(index);
        self.owned.remove(&block.base.addr());
        self.live_bytes -= block.layout.size();
        block
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        self.seed += 1;
        match *op {
            Op::Alloc { size, align_shift, zeroed } => {
                if self.live_bytes + size > MOST_LIVE_BYTES {
                    return Ok(());
                }
                let layout = Layout::from_size_align(size, 1 << align_shift).unwrap();
                // SAFETY: neap takes layouts without a size as well.
                let base = unsafe { if zeroed { GLOBAL.alloc_zeroed(layout) } else { GLOBAL.alloc(layout) } };
                self.own(base, layout)?;
                if zeroed {
                    // SAFETY: the block's bytes.
                    let bytes = unsafe { std::slice::from_raw_parts(base, size) };
                    // All bytes are zero if the first is, and the block equals itself one byte further on.
                    let zero = size == 0 || (bytes[0] == 0 && bytes[1..] == bytes[..size - 1]);
                    prop_assert!(zero, "{layout:?} is not zero");
                }
                let block = Block { base, layout, seed: self.seed };
                block.fill();
                self.blocks.push(block);
            }
            Op::Realloc { index, size } => {
                if self.blocks.is_empty() || self.live_bytes + size > MOST_LIVE_BYTES || size == 0 {
                    return Ok(());
                }
                let index = index % self.blocks.len();
                if self.blocks[index].layout.size() == 0 {
                    return Ok(());
                }
                let old = self.disown(index);
                // SAFETY: a live block and its layout.
                let base = unsafe { GLOBAL.realloc(old.base, old.layout, size) };
                let layout = Layout::from_size_align(size, old.layout.align()).unwrap();
                self.own(base, layout)?;
                let moved = Block { base, layout, seed: old.seed };
                let changed = moved.changed(old.layout.size(), size.min(old.layout.size()));
                prop_assert!(changed.is_none(), "{:?} to {size}: byte {changed:?} changed", old.layout);
                let block = Block { seed: self.seed, ..moved };
                block.fill();
                self.blocks.push(block);
            }
            Op::Free { index } => {
                if !self.blocks.is_empty() {
                    self.free(index % self.blocks.len())?;
                }
            }
            Op::Scavenge => {
                neap::scavenge();
            }
        }
        Ok(())
    }

    fn free(&mut self, index: usize) -> Result<(), TestCaseError> {
        let block = self.disown(index);
        let changed = block.changed(block.layout.size(), block.layout.size());
        prop_assert!(changed.is_none(), "{:?}: byte {changed:?} changed", block.layout);
        // SAFETY: a live block and its layout.
        unsafe { GLOBAL.dealloc(block.base, block.layout) };
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn blocks_are_aligned_disjoint_and_keep_their_content(ops in prop::collection::vec(op(), 1..400)) {
        let mut model = Model::default();
        let result = ops.iter().try_for_each(|op| model.apply(op));
        while !model.blocks.is_empty() {
            model.free(0)?;
        }
        result?;
    }
}

/// The same in one long run. The heap gets old, and its pages pass through every state.
#[test]
fn a_long_history() {
    let mut random = Random(0xfeed);
    let mut model = Model::default();
    let steps = std::env::var("PROPTEST_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(25_000);
    for step in 0..steps {
        let size = match random.below(40) {
            0 => random.below(20 * MIB),
            1..6 => random.below(300_000),
            6..16 => random.below(33_000),
            _ => random.below(700),
        };
        let align_shift = if random.below(4) == 0 { random.below(22) as u32 } else { random.below(5) as u32 };
        let index = random.next() as usize;
        let op = match random.below(100) {
            0..45 => Op::Alloc { size, align_shift, zeroed: random.below(2) == 0 },
            45..60 => Op::Realloc { index, size },
            60..99 => Op::Free { index },
            _ if random.below(4) == 0 => Op::Scavenge,
            _ => continue,
        };
        model.apply(&op).unwrap_or_else(|error| panic!("step {step}, {op:?}: {error}"));
        // The model itself must not hold everything for ever.
        if model.blocks.len() > 3000 {
            (0..1500).for_each(|_| model.free(0).unwrap());
        }
    }
    while !model.blocks.is_empty() {
        model.free(0).unwrap();
    }
}

/// Every alignment with sizes below, at and above it.
#[test]
fn every_alignment_is_honoured() {
    let mut model = Model::default();
    for align_shift in 0..=23 {
        let align = 1usize << align_shift;
        for size in [0, 1, align / 2, align - 1, align, align + 1, 3 * align] {
            for zeroed in [false, true] {
                model.apply(&Op::Alloc { size, align_shift, zeroed }).unwrap();
            }
        }
        // Half of them go, so that later ones meet gaps.
        (0..7).for_each(|i| model.free(i % model.blocks.len()).unwrap());
    }
    while !model.blocks.is_empty() {
        model.free(0).unwrap();
    }
}

/// Slots in more than a GiB of address space, so spans lie at the edges of the span map's regions. Nobody writes the slots, so
/// they cost little memory.
#[test]
fn spans_at_the_edges_of_regions_are_sound() {
    for size in [20_000, 11_000] {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let count = (5 << 28) / size;
        // SAFETY: the size is not zero; each object is freed once.
        unsafe {
            let mut objects: Vec<usize> = (0..count).map(|_| GLOBAL.alloc(layout).expose_provenance()).collect();
            objects.sort_unstable();
            assert!(objects[0] != 0 && objects.windows(2).all(|pair| pair[0] + size <= pair[1]));
            for object in objects {
                GLOBAL.dealloc(std::ptr::with_exposed_provenance_mut(object), layout);
            }
        }
    }
}
