//! Walks over made-up stacks: every kind of frame, and everything that ends a walk.

use super::*;
use std::collections::BTreeMap;

/// A stack from 0x1000 on, word by word, and what undoes the frame at each address.
struct World {
    words: BTreeMap<usize, usize>,
    rules: BTreeMap<usize, Step>,
    crossed: Vec<usize>,
}

impl Memory for World {
    fn read(&mut self, address: usize) -> Option<usize> {
        self.words.get(&address).copied()
    }

    fn cross(&mut self, stack: usize) {
        self.crossed.push(stack);
    }
}

impl World {
    fn walk(&mut self, registers: Registers, room: usize) -> (Walked, Vec<usize>) {
        let rules = self.rules.clone();
        let mut frames = vec![0; room];
        let mut stack = Stack { frames: &mut frames, len: 0 };
        let rule = |pc: usize| Rule::new(rules.get(&pc).copied().unwrap_or(Step::Unknown));
        let walked = walk(registers, &mut stack, rule, self);
        let len = stack.len;
        (walked, frames[..len].to_vec())
    }
}

const fn ordinary(base: Base, frame: Saved) -> Step {
    Step::Frame { base, frame, ret: Saved::At(-8) }
}

const START: Registers = Registers { pc: 10, stack: 0x1000, frame: 0x7777_0000, ret: 0 };

/// Three frames: one by the stack pointer, one by the frame pointer, the first of the thread.
fn three_frames() -> World {
    World {
        words: [(0x1010, 0x1040), (0x1018, 21), (0x1040, 0), (0x1048, 31)].into(),
        rules: [
            (10, ordinary(Base::Stack(0x20), Saved::At(-16))),
            (20, ordinary(Base::Frame(0x10), Saved::At(-16))),
            (30, Step::End),
        ]
        .into(),
        crossed: Vec::new(),
    }
}

#[test]
fn frames_are_undone_up_to_the_first() {
    assert_eq!(three_frames().walk(START, 8), (Walked::ToTheStart, vec![21, 31]));
    assert_eq!(three_frames().walk(START, 2), (Walked::ToTheStart, vec![21, 31]));
    assert_eq!(three_frames().walk(START, 1), (Walked::NoRoom, vec![21]));
    assert_eq!(three_frames().walk(START, 0), (Walked::NoRoom, vec![]));
}

#[test]
fn a_return_address_of_zero_is_the_start() {
    let mut world = three_frames();
    world.words.insert(0x1048, 0);
    assert_eq!(world.walk(START, 8), (Walked::ToTheStart, vec![21]));
}

#[test]
fn the_frame_pointers_chain_helps_where_no_table_does() {
    let mut world = three_frames();
    world.rules.remove(&20);
    assert_eq!(world.walk(START, 8), (Walked::ToTheStart, vec![21, 31]));
    // At its end it may be the start; a frame pointer below the stack is none.
    world.rules.remove(&30);
    assert_eq!(world.walk(START, 8), (Walked::ToTheStart, vec![21, 31]));
    world.words.insert(0x1010, 0x100);
    assert_eq!(world.walk(START, 8), (Walked::Lost, vec![21]));
}

#[test]
fn a_stack_pointer_that_does_not_rise_ends_the_walk() {
    let mut world = three_frames();
    for distance in [-0x800, 0, -0x10] {
        world.words.insert(0x1120, 41);
        let ret = Saved::At(0x100 - distance);
        world.rules.insert(20, Step::Frame { base: Base::Stack(distance), frame: Saved::Same, ret });
        assert_eq!(world.walk(START, 8), (Walked::Lost, vec![21]), "{distance}");
    }
}

#[test]
fn memory_that_may_not_be_read_ends_the_walk() {
    for place in [0x1010, 0x1018] {
        let mut world = three_frames();
        world.words.remove(&place);
        assert_eq!(world.walk(START, 8), (Walked::Lost, vec![]));
    }
    let mut world = three_frames();
    world.words.remove(&0x1048);
    assert_eq!(world.walk(START, 8), (Walked::Lost, vec![21]));
}

#[test]
fn an_aligned_frame_finds_its_caller_in_memory() {
    let mut world = three_frames();
    world.rules.insert(20, Step::Frame { base: Base::InFrame(-8, 0), frame: Saved::InFrame(0), ret: Saved::At(-8) });
    world.words.extend([(0x1038, 0x1100), (0x10f8, 31)]);
    assert_eq!(world.walk(START, 8), (Walked::ToTheStart, vec![21, 31]));
}

/// A handler on a stack of its own: the interrupted frame's address is exact, and its stack lies lower.
#[test]
fn a_signal_is_crossed() {
    let [pc, stack, frame, _] = SIGNAL_FRAME;
    let interrupted = [(0x1010 + pc, 30), (0x1010 + stack, 0x800), (0x1010 + frame, 0x900)];
    let mut world = World {
        words: interrupted.into_iter().chain([(0x1008, 21), (0x808, 41)]).collect(),
        rules: [
            (10, ordinary(Base::Stack(0x10), Saved::Same)),
            (20, Step::Signal),
            (30, ordinary(Base::Stack(0x10), Saved::Same)),
            (40, Step::End),
        ]
        .into(),
        crossed: Vec::new(),
    };
    assert_eq!(world.walk(START, 8), (Walked::ToTheStart, vec![21, 31, 41]));
    assert_eq!(world.crossed, [0x800]);
}

/// On AArch64 the innermost function may keep its return address in a register, and only that one.
#[test]
fn a_return_address_in_a_register_is_used_once() {
    let mut world = three_frames();
    let leaf = Step::Frame { base: Base::Stack(0), frame: Saved::Same, ret: Saved::Same };
    world.rules.insert(10, leaf);
    world.rules.insert(20, ordinary(Base::Stack(0x50), Saved::Same));
    assert_eq!(world.walk(Registers { ret: 21, ..START }, 8), (Walked::ToTheStart, vec![21, 31]));
    assert_eq!(world.walk(START, 8), (Walked::Lost, vec![]));
    world.rules.insert(20, leaf);
    assert_eq!(world.walk(Registers { ret: 21, ..START }, 8), (Walked::Lost, vec![21]));
}
