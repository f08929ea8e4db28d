//! Where a walk starts, and what it may read.
//!
//! Locks: none may be held: the kernel is asked once for each stack that a thread uses.

use core::ops::Range;

use super::bytes::Bytes;
use super::cache::Cache;
use super::cfi;
use super::registers::Registers;
use super::rule::{Rule, Step};
use super::walk::{Memory, Stack, Walked, walk};
use crate::sys;
use crate::sys::object::Finder;

/// How much of a stack must be left for a walk: its own frames, and what the C library's need in it.
const LEAST_ROOM_BYTES: usize = 8 << 10;

/// The stacks of a thread that were seen last: its own, and one that signals or coroutines use.
#[derive(Clone, Debug, Default)]
pub struct Bounds([(usize, usize); 2]);

impl Bounds {
    /// No stack has been seen yet.
    pub const fn new() -> Self {
        Self([(0, 0); 2])
    }

    /// The stack that holds an address; asks the kernel for one that is not known.
    fn of(&mut self, address: usize) -> Option<Range<usize>> {
        if let Some((start, end)) = self.0.iter().find(|(start, end)| (*start..*end).contains(&address)) {
            return Some(*start..*end);
        }
        let mapping = sys::mapping::around(address)?;
        // Where guard pages do not divide mappings, the next thread's stack may follow; a thread's own ends at its words.
        let words = sys::thread::identity();
        let end = if (address..mapping.end).contains(&words) { words } else { mapping.end };
        self.0 = [(mapping.start, end), self.0[0]];
        Some(mapping.start..end)
    }
}

/// The part of a stack that a walk may read.
struct Readable<'a> {
    bounds: &'a mut Bounds,
    range: Range<usize>,
}

impl Memory for Readable<'_> {
    #[inline]
    fn read(&mut self, address: usize) -> Option<usize> {
        const WORD: usize = size_of::<usize>();
        let is_inside = address >= self.range.start && address <= self.range.end - WORD && address % WORD == 0;
        // SAFETY: the word lies in the mapping of a stack that this thread runs on, or ran on when a signal came.
        is_inside.then(|| unsafe { core::ptr::with_exposed_provenance::<usize>(address).read_volatile() })
    }

    fn cross(&mut self, stack: usize) {
        if !self.range.contains(&stack) {
            // Nothing is read in an empty range.
            self.range = self.bounds.of(stack).unwrap_or(EMPTY);
        }
    }
}

/// A range that holds no word.
const EMPTY: Range<usize> = size_of::<usize>()..size_of::<usize>();

/// The stack that called this function, innermost first: the first address is one of this function's caller. `bounds` belongs
/// to the calling thread.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(never)]
pub fn capture(finder: Finder, cache: &Cache, bounds: &mut Bounds, stack: &mut Stack<'_>) -> Walked {
    let here = registers();
    let Some(range) = bounds.of(here.stack) else { return Walked::Lost };
    if here.stack - range.start < LEAST_ROOM_BYTES {
        return Walked::Lost;
    }
    let rule = |pc: usize| {
        cache.get(pc).unwrap_or_else(|| {
            let rule = rule_at(finder, pc);
            cache.put(pc, rule);
            rule
        })
    };
    walk(here, stack, rule, &mut Readable { bounds, range })
}

/// Other processors' tables are not read.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn capture(_: Finder, _: &Cache, _: &mut Bounds, _: &mut Stack<'_>) -> Walked {
    Walked::Lost
}

/// The rule for an address in a function, by its object's tables.
#[inline(never)]
fn rule_at(finder: Finder, pc: usize) -> Rule {
    let rule = || {
        let object = finder.find(pc)?;
        let tables = object.tables()?;
        cfi::rule_at(Bytes::new(tables.bytes, tables.address), tables.header, pc)
    };
    rule().unwrap_or(Rule::new(Step::Unknown))
}

/// The registers of the function that this is inlined into.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn registers() -> Registers {
    let (pc, stack, frame): (usize, usize, usize);
    let ret;
    // SAFETY: reads registers; changes nothing.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        {
            core::arch::asm!(
                "lea {pc}, [rip]",
                "mov {stack}, rsp",
                "mov {frame}, rbp",
                pc = out(reg) pc,
                stack = out(reg) stack,
                frame = out(reg) frame,
                options(nostack, nomem, preserves_flags),
            );
            ret = 0;
        }
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "adr {pc}, .",
            "mov {stack}, sp",
            "mov {frame}, x29",
            "mov {ret}, x30",
            pc = out(reg) pc,
            stack = out(reg) stack,
            frame = out(reg) frame,
            ret = out(reg) ret,
            options(nostack, nomem, preserves_flags),
        );
    }
    Registers { pc, stack, frame, ret }
}

#[cfg(test)]
mod tests;
