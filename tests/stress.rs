//! Eight threads allocate, free, reallocate, hand over and scavenge at once. The content of every object is checked.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc;

use common::Random;

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

const THREADS: usize = 8;

fn rounds() -> usize {
    std::env::var("STRESS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// Small sizes mostly, large ones now and then.
fn size(random: &mut Random) -> usize {
    match random.below(100) {
        0..80 => 1 + random.below(512),
        80..98 => 1 + random.below(32 << 10),
        _ => 1 + random.below(600 << 10),
    }
}

/// A block that knows what it should hold.
struct Block {
    base: *mut u8,
    layout: Layout,
    seed: u64,
}

// SAFETY: the block owns its memory.
unsafe impl Send for Block {}

impl Block {
    fn new(random: &mut Random) -> Self {
        let align = 1 << random.below(8);
        let layout = Layout::from_size_align(size(random), align).unwrap();
        let zeroed = random.below(4) == 0;
        // SAFETY: the size is not zero.
        let base = unsafe { if zeroed { GLOBAL.alloc_zeroed(layout) } else { GLOBAL.alloc(layout) } };
        assert!(!base.is_null() && base.addr() % align == 0);
        let mut block = Self { base, layout, seed: random.next() };
        if zeroed {
            assert!(block.bytes().iter().all(|byte| *byte == 0), "{layout:?} is not zero");
        }
        block.fill();
        block
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block's own memory.
        unsafe { std::slice::from_raw_parts_mut(self.base, self.layout.size()) }
    }

    fn expected(seed: u64, index: usize) -> u8 {
        (seed.wrapping_add(index as u64 / 64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    fn fill(&mut self) {
        let seed = self.seed;
        self.bytes().iter_mut().enumerate().step_by(61).for_each(|(i, byte)| *byte = Self::expected(seed, i));
    }

    fn check(&mut self, up_to: usize) {
        let seed = self.seed;
        for (i, byte) in self.bytes().iter().enumerate().take(up_to).step_by(61) {
            assert_eq!(*byte, Self::expected(seed, i), "byte {i}");
        }
    }

    fn resize(&mut self, random: &mut Random) {
        let size = if random.below(2) == 0 { size(random) } else { self.layout.size() * 2 };
        // SAFETY: the block's own memory and layout.
        let base = unsafe { GLOBAL.realloc(self.base, self.layout, size) };
        assert!(!base.is_null() && base.addr() % self.layout.align() == 0);
        let kept = size.min(self.layout.size());
        self.base = base;
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        self.check(kept);
        self.fill();
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check(usize::MAX);
        }
        // SAFETY: the block's own memory and layout.
        unsafe { GLOBAL.dealloc(self.base, self.layout) };
    }
}

fn worker(seed: u64, inbox: mpsc::Receiver<Block>, outbox: mpsc::Sender<Block>) {
    let mut random = Random(seed);
    let mut table: Vec<Option<Block>> = (0..2000).map(|_| None).collect();
    for round in 0..rounds() {
        let place = random.below(table.len());
        match random.below(16) {
            0 => drop(table[place].take()),
            1 => {
                if let Some(block) = &mut table[place] {
                    block.resize(&mut random);
                }
            }
            2 => {
                if let Some(block) = table[place].take() {
                    let _ = outbox.send(block);
                }
            }
            3 => drop(inbox.try_recv()),
            _ => table[place] = Some(Block::new(&mut random)),
        }
        if round % 4000 == 3999 {
            if random.below(2) == 0 {
                table.clear();
                table.resize_with(2000, || None);
            }
            if random.below(4) == 0 {
                neap::scavenge();
            }
        }
    }
}

#[test]
fn racing_threads_never_see_each_others_memory() {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel()).unzip();
    let threads: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(index, inbox)| {
            let outbox = senders[(index + 1) % THREADS].clone();
            std::thread::spawn(move || worker(0x1234_5678 + index as u64, inbox, outbox))
        })
        .collect();
    drop(senders);
    for thread in threads {
        thread.join().unwrap();
    }
    let before = neap::stats();
    let released = neap::scavenge();
    let after = neap::stats();
    assert!(before.adds_up() && after.adds_up(), "{before:?} {after:?}");
    assert!(after.released_bytes_total - before.released_bytes_total >= released as u64);
}
