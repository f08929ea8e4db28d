//! Rules applied: from one frame's registers to its caller's, and so on up to the thread's first.
//!
//! Invariants:
//! 1. Memory is read only through the caller's [`Memory`], which answers nothing for what may not be read.
//! 2. The stack pointer rises with each ordinary frame, so every walk ends.
//!
//! Locks: none.

use super::registers::{Registers, SIGNAL_FRAME, plain};
use super::rule::{Base, Rule, Saved, Step};

const WORD: usize = size_of::<usize>();

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walked {
    /// At the thread's first frame.
    ToTheStart,
    /// There was no room for more frames.
    NoRoom,
    /// At a frame that nothing is known of, or whose memory may not be read.
    Lost,
}

/// Return addresses, the innermost first. One that follows a signal handler's frame is the interrupted instruction's plus 1,
/// so that every address minus 1 lies in the instruction that its frame was at.
pub struct Stack<'a> {
    /// Where the addresses go.
    pub frames: &'a mut [usize],
    /// How many there are.
    pub len: usize,
}

/// The memory of a stack.
pub trait Memory {
    /// The word at an address; `None` if it is not part of the stack that the walk is on.
    fn read(&mut self, address: usize) -> Option<usize>;

    /// A signal interrupted a frame with this stack pointer: the walk goes on in the stack that holds it.
    fn cross(&mut self, stack: usize);
}

/// Walks from `registers`, whose own address is not recorded. `rule` finds the rule for an address in a function.
pub fn walk(
    mut registers: Registers,
    stack: &mut Stack<'_>,
    mut rule: impl FnMut(usize) -> Rule,
    memory: &mut impl Memory,
) -> Walked {
    // The address of the next instruction, as here and after a signal; a return address may lie behind its function.
    let mut is_exact = true;
    loop {
        let inside = if is_exact { registers.pc } else { registers.pc - 1 };
        let step = rule(inside).step();
        let Some(caller) = undo(step, registers, memory) else {
            return if is_start(step, &registers) { Walked::ToTheStart } else { Walked::Lost };
        };
        is_exact = step == Step::Signal;
        if is_exact {
            memory.cross(caller.stack);
        }
        if caller.pc <= 1 {
            return Walked::ToTheStart;
        }
        // On AArch64 a frame may keep all in registers: the innermost one, and so once, since its caller has none in `ret`.
        let in_registers = matches!(step, Step::Frame { ret: Saved::Same, .. });
        if !is_exact && (caller.stack < registers.stack || caller.stack == registers.stack && !in_registers) {
            return Walked::Lost;
        }
        let Some(place) = stack.frames.get_mut(stack.len) else { return Walked::NoRoom };
        *place = caller.pc + usize::from(is_exact);
        stack.len += 1;
        registers = caller;
    }
}

/// Whether a frame without a caller is the thread's first: its table says so, or nothing does and the chain of frame pointers
/// ends here, as in threads of C libraries without tables.
fn is_start(step: Step, registers: &Registers) -> bool {
    step == Step::End || step == Step::Unknown && registers.frame == 0
}

/// The caller's registers.
fn undo(step: Step, at: Registers, memory: &mut impl Memory) -> Option<Registers> {
    let mut read = |address| memory.read(address);
    match step {
        Step::End => None,
        Step::Signal => {
            let mut word = |offset| read(at.stack.wrapping_add(offset));
            let [pc, stack, frame, ret] = SIGNAL_FRAME;
            Some(Registers { pc: plain(word(pc)?), stack: word(stack)?, frame: word(frame)?, ret: plain(word(ret)?) })
        }
        Step::Unknown => {
            if at.frame < at.stack {
                return None;
            }
            let (frame, pc) = (read(at.frame)?, read(at.frame.wrapping_add(WORD))?);
            Some(Registers { pc: plain(pc), stack: at.frame.wrapping_add(2 * WORD), frame, ret: 0 })
        }
        Step::Frame { base, frame, ret } => {
            let stack = match base {
                Base::Stack(distance) => at.stack.wrapping_add_signed(distance as isize),
                Base::Frame(distance) => at.frame.wrapping_add_signed(distance as isize),
                Base::InFrame(place, more) => {
                    read(at.frame.wrapping_add_signed(place as isize))?.wrapping_add_signed(more as isize)
                }
            };
            let frame = match frame {
                Saved::Same => at.frame,
                Saved::At(distance) => read(stack.wrapping_add_signed(distance as isize))?,
                Saved::InFrame(distance) => read(at.frame.wrapping_add_signed(distance as isize))?,
            };
            let pc = match ret {
                // 0: no register of this frame holds it.
                Saved::Same | Saved::InFrame(_) if at.ret == 0 => return None,
                Saved::Same | Saved::InFrame(_) => at.ret,
                Saved::At(distance) => read(stack.wrapping_add_signed(distance as isize))?,
            };
            Some(Registers { pc: plain(pc), stack, frame, ret: 0 })
        }
    }
}

#[cfg(test)]
mod tests;
