//! Call frame information: from an address in a program to the rule that undoes its frame, by the tables that compilers
//! write for exceptions (`.eh_frame_hdr`, `.eh_frame`; the Linux Standard Base and DWARF 5, section 6.4, say what is in them).
//!
//! Only what a walk needs is followed: the caller's stack pointer, frame pointer and return address. Tables that compute
//! these from another register, or in memory by an expression beyond what linkers and compilers write, give no rule. The
//! state is small and on the stack: a walk may run on a signal stack or near a stack's end.
//!
//! Rejected: `gimli`, whose tables of rules take kilobytes of stack for all registers; it is the slow twin of the tests.
//!
//! Locks: none. Tables that are damaged give no rule, and nothing is read outside them.

use super::bytes::{Bytes, OMITTED, TO_DATA};
use super::program::{Common, step_at};
use super::rule::{Rule, Step};

/// The header's table, the only layout that linkers write: pairs of an address and its entry's, relative to the header, sorted.
const SORTED_PAIRS: u8 = TO_DATA | 0x0b;
const PAIR_BYTES: usize = 8;

/// What undoes the frame of the function that holds `pc`. `tables` are the bytes of the mapping that holds the header, which
/// lies at `header`.
pub fn rule_at(tables: Bytes<'_>, header: usize, pc: usize) -> Option<Rule> {
    entry_for(tables, header, pc)?.step(pc).map(Rule::new)
}

/// The entry of the function that holds `pc`, by binary search in the header's table.
fn entry_for<'a>(tables: Bytes<'a>, header: usize, pc: usize) -> Option<Entry<'a>> {
    let mut bytes = tables.from(header)?;
    if bytes.u8()? != 1 {
        return None;
    }
    let (frames, count, pairs) = (bytes.u8()?, bytes.u8()?, bytes.u8()?);
    if frames != OMITTED {
        bytes.pointer(frames, header)?;
    }
    if count == OMITTED || pairs != SORTED_PAIRS {
        return None;
    }
    let count = bytes.pointer(count, header)?;
    let table = bytes.take(count.checked_mul(PAIR_BYTES)?)?;
    let pair = |index: usize| {
        let mut pair = table.from(table.place().wrapping_add(index * PAIR_BYTES))?;
        Some((pair.pointer(SORTED_PAIRS, header)?, pair.pointer(SORTED_PAIRS, header)?))
    };
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if pair(middle)?.0 <= pc { low = middle + 1 } else { high = middle }
    }
    let entry = Entry::read(tables, pair(low.checked_sub(1)?)?.1)?;
    (pc.wrapping_sub(entry.start) < entry.bytes).then_some(entry)
}

/// The entry of a function.
struct Entry<'a> {
    common: Common<'a>,
    start: usize,
    bytes: usize,
    program: Bytes<'a>,
}

/// A length, and the bytes that have it.
fn sized(bytes: &mut Bytes<'_>) -> Option<usize> {
    match bytes.u32()? {
        0xffff_ffff => usize::try_from(bytes.u64()?).ok(),
        length => Some(length as usize),
    }
}

impl<'a> Common<'a> {
    fn read(tables: Bytes<'a>, address: usize) -> Option<Self> {
        let mut bytes = tables.from(address)?;
        let length = sized(&mut bytes)?;
        let mut bytes = bytes.take(length)?;
        let (id, version) = (bytes.u32()?, bytes.u8()?);
        if id != 0 || !matches!(version, 1 | 3) {
            return None;
        }
        let names = bytes;
        let mut name_bytes = 0;
        while bytes.u8()? != 0 {
            name_bytes += 1;
        }
        let mut names = { names }.take(name_bytes)?;
        let mut common = Self {
            code_unit: bytes.uleb()?,
            data_unit: bytes.sleb()?,
            ret: if version == 1 { u64::from(bytes.u8()?) } else { bytes.uleb()? },
            pointers: 0,
            has_sizes: false,
            is_signal: false,
            program: bytes,
        };
        let mut augmentation = bytes;
        while !names.is_empty() {
            match names.u8()? {
                b'z' => {
                    common.has_sizes = true;
                    let length = usize::try_from(bytes.uleb()?).ok()?;
                    augmentation = bytes.take(length)?;
                }
                b'R' => common.pointers = augmentation.u8()?,
                b'L' => augmentation.skip(1)?,
                b'P' => {
                    let encoding = augmentation.u8()?;
                    augmentation.pointer(encoding & 0x0f, 0)?;
                }
                b'S' => common.is_signal = true,
                // AArch64: return addresses are signed with the second key.
                b'B' => {}
                _ => return None,
            }
        }
        common.program = bytes;
        Some(common)
    }
}

impl<'a> Entry<'a> {
    fn read(tables: Bytes<'a>, address: usize) -> Option<Self> {
        let mut bytes = tables.from(address)?;
        let length = sized(&mut bytes)?;
        let mut bytes = bytes.take(length)?;
        let place = bytes.place();
        let common = Common::read(tables, place.checked_sub(bytes.u32()? as usize)?)?;
        let start = bytes.pointer(common.pointers, 0)?;
        let extent = bytes.extent(common.pointers)?;
        if common.has_sizes {
            let length = usize::try_from(bytes.uleb()?).ok()?;
            bytes.skip(length)?;
        }
        Some(Self { common, start, bytes: extent, program: bytes })
    }

    /// What undoes the frame at `pc`.
    fn step(&self, pc: usize) -> Option<Step> {
        if self.common.is_signal { Some(Step::Signal) } else { step_at(&self.common, self.program, self.start, pc) }
    }
}

#[cfg(test)]
mod tests;
