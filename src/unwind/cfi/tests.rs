//! The reader against `gimli` on the tables of everything that is loaded here, and on damaged ones.

use super::*;
use crate::sys::object::Finder;
use crate::unwind::registers::{FRAME, STACK};
use crate::unwind::rule::{Base, Saved};
use gimli::{BaseAddresses, CfaRule, EhFrame, EhFrameHdr, LittleEndian, RegisterRule, UnwindContext, UnwindSection};

/// The tables of the object that holds an address: the segment's bytes, its address, the header's.
fn tables_of(code: usize) -> (&'static [u8], usize, usize) {
    let object = Finder::new().unwrap().find(code).unwrap();
    let tables = object.tables().unwrap();
    // SAFETY: the test program's and the C library's tables stay while the test runs.
    let bytes = unsafe { core::slice::from_raw_parts(tables.bytes.as_ptr(), tables.bytes.len()) };
    (bytes, tables.address, tables.header)
}

fn loaded() -> [(&'static [u8], usize, usize); 2] {
    [tables_of(loaded as fn() -> _ as usize), tables_of(libc::getpid as unsafe extern "C" fn() -> i32 as usize)]
}

/// What gimli says of a row, in our terms; `None` where we have none.
fn expected(row: &gimli::UnwindTableRow<usize>, frame: RegisterRule<usize>, ret: RegisterRule<usize>) -> Option<Step> {
    let ret = match ret {
        // gimli says so of a register without a rule as well. AArch64 leaves the return address without one at a function's start.
        RegisterRule::Undefined => return cfg!(target_arch = "x86_64").then_some(Step::End),
        RegisterRule::Offset(distance) => Saved::At(distance),
        _ => return None,
    };
    let frame = match frame {
        RegisterRule::Offset(distance) => Saved::At(distance),
        _ => Saved::Same,
    };
    match *row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } if u64::from(register.0) == STACK => {
            Some(Step::Frame { base: Base::Stack(offset), frame, ret })
        }
        CfaRule::RegisterAndOffset { register, offset } if u64::from(register.0) == FRAME => {
            Some(Step::Frame { base: Base::Frame(offset), frame, ret })
        }
        _ => None,
    }
}

/// How many rows agreed, and how many have a rule that only an expression could tell.
fn compare((bytes, address, header): (&'static [u8], usize, usize)) -> (usize, usize) {
    let bases = BaseAddresses::default().set_eh_frame_hdr(header as u64);
    let parsed = EhFrameHdr::new(&bytes[header - address..], LittleEndian).parse(&bases, 8).unwrap();
    let gimli::Pointer::Direct(frames) = parsed.eh_frame_ptr() else { panic!("an indirect pointer") };
    let bases = bases.set_eh_frame(frames);
    let section = EhFrame::new(&bytes[frames as usize - address..], LittleEndian);
    let mut context = UnwindContext::new();
    let (mut agreed, mut beyond) = (0, 0);
    let mut entries = section.entries(&bases);
    while let Ok(Some(entry)) = entries.next() {
        let gimli::CieOrFde::Fde(partial) = entry else { continue };
        let fde = partial.parse(|_, bases, offset| section.cie_from_offset(bases, offset)).unwrap();
        let ret_column = fde.cie().return_address_register();
        let mut rows = fde.rows(&section, &bases, &mut context).unwrap();
        while let Some(row) = rows.next_row().unwrap() {
            for pc in [row.start_address(), row.end_address() - 1] {
                let rule = rule_at(Bytes::new(bytes, address), header, pc as usize);
                if fde.is_signal_trampoline() {
                    assert_eq!(rule.map(Rule::step), Some(Step::Signal), "{pc:x}");
                    continue;
                }
                let rules = [row.register(gimli::Register(FRAME as u16)), row.register(ret_column)];
                match expected(row, rules[0].clone(), rules[1].clone()) {
                    Some(step) => {
                        assert_eq!(rule, Some(Rule::new(step)), "{pc:x}");
                        agreed += 1;
                    }
                    None => beyond += 1,
                }
            }
        }
    }
    (agreed, beyond)
}

#[test]
fn every_row_of_what_is_loaded_reads_as_gimli_reads_it() {
    for tables in loaded() {
        let (agreed, beyond) = compare(tables);
        assert!(agreed > 10_000 && beyond * 100 < agreed, "{agreed} agreed, {beyond} beyond us");
    }
}

#[test]
fn an_address_outside_every_function_has_no_rule() {
    for (bytes, address, header) in loaded() {
        for pc in [0, 1, address, address + bytes.len(), usize::MAX] {
            assert_eq!(rule_at(Bytes::new(bytes, address), header, pc), None, "{pc:x}");
        }
    }
}

/// A table with one function, at 0x2000 and 0x40 bytes long: header, common entry, entry.
#[cfg(target_arch = "x86_64")]
fn small() -> Vec<u8> {
    let mut bytes = vec![1, 0x1b, 0x03, 0x3b];
    bytes.extend(16_i32.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(0x1000_i32.to_le_bytes());
    bytes.extend(44_i32.to_le_bytes());
    // Common, at 20: "zR", units of 1 and -8, return address in 16; the stack at +8, the return address at -8.
    let common = [0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0];
    bytes.extend((common.len() as u32).to_le_bytes());
    bytes.extend(common);
    // The function, at 44: push rbp at 1, mov rbp at 4, remember and restore at 0x30.
    let mut entry = 28_u32.to_le_bytes().to_vec();
    entry.extend((0x2000_i32 - (0x1000 + 44 + 8)).to_le_bytes());
    entry.extend(0x40_u32.to_le_bytes());
    entry.extend([0, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x02, 0x2c, 0x0c, 7, 8, 0xc6, 0x41, 0x0b]);
    bytes.extend((entry.len() as u32).to_le_bytes());
    bytes.extend(entry);
    bytes
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_small_table_is_read() {
    let bytes = small();
    let at = |pc| rule_at(Bytes::new(&bytes, 0x1000), 0x1000, pc).map(Rule::step);
    let step = |base, frame| Some(Step::Frame { base, frame, ret: Saved::At(-8) });
    assert_eq!(at(0x2000), step(Base::Stack(8), Saved::Same));
    assert_eq!(at(0x2001), step(Base::Stack(16), Saved::At(-16)));
    assert_eq!(at(0x2004), step(Base::Frame(16), Saved::At(-16)));
    assert_eq!(at(0x2030), step(Base::Stack(8), Saved::Same));
    assert_eq!(at(0x203f), step(Base::Frame(16), Saved::At(-16)));
    assert_eq!((at(0x1fff), at(0x2040)), (None, None));
}

/// Every byte of it set to every value, and cut at every length: some rule or none, and nothing is read outside.
#[cfg(target_arch = "x86_64")]
#[test]
fn damaged_tables_do_no_harm() {
    let whole = small();
    let mut rules = 0;
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        for value in 0..=255 {
            bytes[place] = value;
            for pc in [0x2000, 0x2004, 0x203f] {
                rules += usize::from(rule_at(Bytes::new(&bytes, 0x1000), 0x1000, pc).is_some());
            }
        }
        assert!(rule_at(Bytes::new(&whole[..place], 0x1000), 0x1000, 0x2004).is_none_or(|_| place >= 72));
    }
    assert!(rules > 1000, "{rules}");
}
