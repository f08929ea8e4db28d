//! The few expressions that unwind tables hold: evaluated once for an address, with the registers left as unknowns.
//!
//! Linkers write one for the entries of a procedure linkage table, where the stack pointer's distance depends on the
//! address, and compilers one for functions that align their stack, where the caller's stack pointer is in memory. So a value
//! is a number, a register plus a number, or memory near the frame pointer plus a number; what would be anything else gives
//! no value.
//!
//! Locks: none.

use super::bytes::Bytes;
use super::registers::{FRAME, RET, STACK};
use super::rule::Base;

/// A value with registers left as unknowns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    Number(i64),
    /// The stack pointer plus a number.
    Stack(i64),
    /// The frame pointer plus a number.
    Frame(i64),
    /// The caller's stack pointer plus a number.
    Caller(i64),
    /// What is in memory at the frame pointer plus the first number, plus the second.
    InFrame(i64, i64),
}

impl Value {
    fn plus(self, more: i64) -> Self {
        match self {
            Self::Number(number) => Self::Number(number.wrapping_add(more)),
            Self::Stack(number) => Self::Stack(number.wrapping_add(more)),
            Self::Frame(number) => Self::Frame(number.wrapping_add(more)),
            Self::Caller(number) => Self::Caller(number.wrapping_add(more)),
            Self::InFrame(place, number) => Self::InFrame(place, number.wrapping_add(more)),
        }
    }
}

/// Where an expression says that something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Address {
    /// At a distance from the caller's stack pointer.
    Caller(i64),
    /// At a distance from the frame pointer.
    Frame(i64),
}

/// How many values an expression may hold at a time.
const DEPTH: usize = 8;

/// The caller's stack pointer.
pub fn base(bytes: Bytes<'_>, pc: usize) -> Option<Base> {
    match evaluate(bytes, pc, None)? {
        Value::Stack(distance) => Some(Base::Stack(distance)),
        Value::Frame(distance) => Some(Base::Frame(distance)),
        Value::InFrame(place, more) => Some(Base::InFrame(place, more)),
        Value::Number(_) | Value::Caller(_) => None,
    }
}

/// Where a register is saved.
pub fn address(bytes: Bytes<'_>, pc: usize) -> Option<Address> {
    match evaluate(bytes, pc, Some(Value::Caller(0)))? {
        Value::Caller(distance) => Some(Address::Caller(distance)),
        Value::Frame(distance) => Some(Address::Frame(distance)),
        _ => None,
    }
}

fn evaluate(mut bytes: Bytes<'_>, pc: usize, first: Option<Value>) -> Option<Value> {
    let mut values = [Value::Number(0); DEPTH];
    let mut depth = 0;
    let mut next = first;
    loop {
        if let Some(value) = next {
            *values.get_mut(depth)? = value;
            depth += 1;
        }
        if bytes.is_empty() {
            return values.get(depth.checked_sub(1)?).copied();
        }
        let code = bytes.u8()?;
        let mut pop = || {
            depth = depth.checked_sub(1)?;
            Some(values[depth])
        };
        let value = match code {
            // lit0 to lit31
            0x30..=0x4f => Value::Number(i64::from(code - 0x30)),
            0x08 => Value::Number(i64::from(bytes.u8()?)),
            0x09 => Value::Number(i64::from(bytes.u8()? as i8)),
            0x0a => Value::Number(i64::from(bytes.u16()?)),
            0x0b => Value::Number(i64::from(bytes.u16()? as i16)),
            0x0c => Value::Number(i64::from(bytes.u32()?)),
            0x0d => Value::Number(i64::from(bytes.u32()? as i32)),
            0x10 => Value::Number(bytes.uleb()? as i64),
            0x11 => Value::Number(bytes.sleb()?),
            // breg0 to breg31
            0x70..=0x8f => {
                let more = bytes.sleb()?;
                match u64::from(code - 0x70) {
                    STACK => Value::Stack(more),
                    FRAME => Value::Frame(more),
                    // x86-64 numbers the program counter as the return address.
                    RET if cfg!(target_arch = "x86_64") => Value::Number((pc as i64).wrapping_add(more)),
                    _ => return None,
                }
            }
            // deref
            0x06 => match pop()? {
                Value::Frame(place) => Value::InFrame(place, 0),
                _ => return None,
            },
            // plus_uconst
            0x23 => pop()?.plus(bytes.uleb()? as i64),
            // and, minus, plus, shl, ge
            0x1a | 0x1c | 0x22 | 0x24 | 0x2a => {
                let (right, left) = (pop()?, pop()?);
                match (code, left, right) {
                    (0x22, value, Value::Number(more)) | (0x22, Value::Number(more), value) => value.plus(more),
                    (0x1c, value, Value::Number(less)) => value.plus(less.wrapping_neg()),
                    (0x1a, Value::Number(left), Value::Number(right)) => Value::Number(left & right),
                    (0x24, Value::Number(left), Value::Number(right @ 0..=63)) => Value::Number(left << right),
                    (0x2a, Value::Number(left), Value::Number(right)) => Value::Number(i64::from(left >= right)),
                    _ => return None,
                }
            }
            _ => return None,
        };
        next = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Bytes<'_> {
        Bytes::new(bytes, 0)
    }

    /// What linkers write for a procedure linkage table: `rsp + 8 + ((rip & 15) >= 11) * 8`.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_stack_in_a_linkage_table_depends_on_the_address() {
        let linkage = [0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        assert_eq!(base(of(&linkage), 0x1000), Some(Base::Stack(8)));
        assert_eq!(base(of(&linkage), 0x100a), Some(Base::Stack(8)));
        assert_eq!(base(of(&linkage), 0x100b), Some(Base::Stack(16)));
    }

    /// What compilers write for a function that aligns its stack.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn an_aligned_frame_keeps_the_callers_stack_pointer_in_memory() {
        assert_eq!(base(of(&[0x76, 0x78, 0x06]), 0), Some(Base::InFrame(-8, 0)));
        assert_eq!(address(of(&[0x76, 0x00]), 0), Some(Address::Frame(0)));
        assert_eq!(address(of(&[0x23, 0x10]), 0), Some(Address::Caller(16)));
    }

    #[test]
    fn what_is_not_understood_gives_nothing() {
        for bytes in [&[][..], &[0x30], &[0x06], &[0x22], &[0x30, 0x06], &[0x70, 0x00], &[0x96], &[0x30; 9], &[0x77]] {
            assert_eq!(base(of(bytes), 0), None, "{bytes:x?}");
        }
    }
}
