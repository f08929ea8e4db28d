//! The programs in unwind tables: a table is written down as the steps that make its rows, and is run up to one address.
//!
//! The machine keeps the two registers of a walk and forgets the others. Its state is small: a walk may run near a stack's end.
//!
//! Locks: none.

use super::bytes::Bytes;
use super::expression::{self, Address};
use super::registers::{FRAME, STACK};
use super::rule::{Base, Saved, Step};

/// How deep `remember` may nest; compilers write one level.
const REMEMBERED: usize = 4;

/// What the functions of one compilation share.
#[derive(Clone, Copy)]
pub struct Common<'a> {
    /// What advances are counted in.
    pub code_unit: u64,
    /// What distances are counted in.
    pub data_unit: i64,
    /// The number of the return address among the registers.
    pub ret: u64,
    /// How pointers are written.
    pub pointers: u8,
    /// Whether a function's entry says how long its augmentation is.
    pub has_sizes: bool,
    /// Whether the kernel makes these frames, for signal handlers.
    pub is_signal: bool,
    /// The program that makes each function's first row.
    pub program: Bytes<'a>,
}

/// What undoes the frame at `pc` of the function that begins at `start` and has this program.
pub fn step_at<'a>(common: &Common<'a>, program: Bytes<'a>, start: usize, pc: usize) -> Option<Step> {
    let mut state = State { row: Row::FIRST, first: Row::FIRST, kept: [Row::FIRST; REMEMBERED], depth: 0 };
    state.run(common, common.program, 0, pc)?;
    state.first = state.row;
    state.run(common, program, start, pc)?;
    state.row.step(pc)
}

/// A register's place as tables say it.
#[derive(Clone, Copy)]
enum Place {
    /// Where it was.
    Same,
    /// There is none: of the return address, the thread's first frame.
    None,
    /// In memory, at a distance from the caller's stack pointer.
    At(i64),
    /// In memory, at a distance from the frame pointer.
    InFrame(i64),
    /// Anything that a walk cannot follow.
    Beyond,
}

/// The caller's stack pointer as tables say it.
#[derive(Clone, Copy)]
enum Frame<'a> {
    Register(u64, i64),
    Expression(Bytes<'a>),
}

/// A row of the table: what holds at one address.
#[derive(Clone, Copy)]
struct Row<'a> {
    base: Frame<'a>,
    frame: Place,
    ret: Place,
}

impl Row<'_> {
    const FIRST: Self = Self { base: Frame::Register(u64::MAX, 0), frame: Place::Same, ret: Place::Same };

    fn step(&self, pc: usize) -> Option<Step> {
        let ret = match self.ret {
            Place::None => return Some(Step::End),
            Place::Same => Saved::Same,
            Place::At(distance) => Saved::At(distance),
            Place::InFrame(_) | Place::Beyond => return None,
        };
        let frame = match self.frame {
            // A frame pointer that is lost stays what it was: it is checked before it is used.
            Place::Same | Place::None | Place::Beyond => Saved::Same,
            Place::At(distance) => Saved::At(distance),
            Place::InFrame(distance) => Saved::InFrame(distance),
        };
        let base = match self.base {
            Frame::Register(STACK, distance) => Base::Stack(distance),
            Frame::Register(FRAME, distance) => Base::Frame(distance),
            Frame::Register(..) => return None,
            Frame::Expression(bytes) => expression::base(bytes, pc)?,
        };
        Some(Step::Frame { base, frame, ret })
    }
}

/// The machine that runs the tables' programs.
struct State<'a> {
    row: Row<'a>,
    /// What `restore` goes back to.
    first: Row<'a>,
    kept: [Row<'a>; REMEMBERED],
    depth: usize,
}

impl<'a> State<'a> {
    fn set(&mut self, common: &Common<'_>, register: u64, place: Place) {
        if register == common.ret {
            self.row.ret = place;
        } else if register == FRAME {
            self.row.frame = place;
        }
    }

    fn restore(&mut self, common: &Common<'_>, register: u64) {
        let place = if register == common.ret { self.first.ret } else { self.first.frame };
        self.set(common, register, place);
    }

    /// Runs a program up to the row that holds `pc`.
    fn run(&mut self, common: &Common<'a>, mut program: Bytes<'a>, start: usize, pc: usize) -> Option<()> {
        let mut at = start;
        while !program.is_empty() {
            let code = program.u8()?;
            let low = u64::from(code & 0x3f);
            let advance = match code >> 6 {
                1 => low,
                2 => {
                    let distance = program.uleb()? as i64;
                    self.set(common, low, Place::At(distance.wrapping_mul(common.data_unit)));
                    continue;
                }
                3 => {
                    self.restore(common, low);
                    continue;
                }
                _ => match self.extended(common, code, &mut program)? {
                    Moved::Nowhere => continue,
                    Moved::By(units) => units,
                    Moved::To(address) => {
                        at = address;
                        if at > pc {
                            return Some(());
                        }
                        continue;
                    }
                },
            };
            at = at.wrapping_add(advance.wrapping_mul(common.code_unit) as usize);
            if at > pc {
                return Some(());
            }
        }
        Some(())
    }

    /// An instruction whose upper bits are 0.
    fn extended(&mut self, common: &Common<'a>, code: u8, program: &mut Bytes<'a>) -> Option<Moved> {
        let factored = |value: i64| value.wrapping_mul(common.data_unit);
        match code {
            0x00 => {}
            0x01 => return Some(Moved::To(program.pointer(common.pointers, 0)?)),
            0x02 => return Some(Moved::By(u64::from(program.u8()?))),
            0x03 => return Some(Moved::By(u64::from(program.u16()?))),
            0x04 => return Some(Moved::By(u64::from(program.u32()?))),
            // offset_extended, and with a sign
            0x05 | 0x11 => {
                let register = program.uleb()?;
                let distance = if code == 0x05 { program.uleb()? as i64 } else { program.sleb()? };
                self.set(common, register, Place::At(factored(distance)));
            }
            0x06 => {
                let register = program.uleb()?;
                self.restore(common, register);
            }
            0x07 => {
                let register = program.uleb()?;
                self.set(common, register, Place::None);
            }
            0x08 => {
                let register = program.uleb()?;
                self.set(common, register, Place::Same);
            }
            // register in register, value at a distance (and with a sign)
            0x09 | 0x14 => {
                let register = program.uleb()?;
                program.uleb()?;
                self.set(common, register, Place::Beyond);
            }
            0x15 => {
                let register = program.uleb()?;
                program.sleb()?;
                self.set(common, register, Place::Beyond);
            }
            0x0a => {
                *self.kept.get_mut(self.depth)? = self.row;
                self.depth += 1;
            }
            0x0b => {
                self.depth = self.depth.checked_sub(1)?;
                self.row = self.kept[self.depth];
            }
            // def_cfa, and with a sign
            0x0c => self.row.base = Frame::Register(program.uleb()?, program.uleb()? as i64),
            0x12 => self.row.base = Frame::Register(program.uleb()?, factored(program.sleb()?)),
            0x0d => {
                let Frame::Register(_, distance) = self.row.base else { return None };
                self.row.base = Frame::Register(program.uleb()?, distance);
            }
            // def_cfa_offset, and with a sign
            0x0e | 0x13 => {
                let distance = if code == 0x0e { program.uleb()? as i64 } else { factored(program.sleb()?) };
                let Frame::Register(register, _) = self.row.base else { return None };
                self.row.base = Frame::Register(register, distance);
            }
            0x0f => {
                let length = usize::try_from(program.uleb()?).ok()?;
                self.row.base = Frame::Expression(program.take(length)?);
            }
            // expression, and value by expression
            0x10 | 0x16 => {
                let register = program.uleb()?;
                let length = usize::try_from(program.uleb()?).ok()?;
                let bytes = program.take(length)?;
                let place = match expression::address(bytes, 0) {
                    Some(Address::Caller(distance)) if code == 0x10 => Place::At(distance),
                    Some(Address::Frame(distance)) if code == 0x10 => Place::InFrame(distance),
                    _ => Place::Beyond,
                };
                self.set(common, register, place);
            }
            // AArch64: return addresses are signed from here on, or not any more. The walk takes signatures off.
            0x2d => {}
            // GNU_args_size
            0x2e => {
                program.uleb()?;
            }
            _ => return None,
        }
        Some(Moved::Nowhere)
    }
}

/// What an instruction does to the address that rows are for.
enum Moved {
    Nowhere,
    By(u64),
    To(usize),
}
