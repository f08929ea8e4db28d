//! The huge page map: which 2 MiB parts of the heap may be on a huge page, and which huge pages the kernel has yet to
//! split.
//!
//! A set bit is a guess. A clear bit is certain: the part is not on a huge page.
//!
//! Orderings: tables are published with AcqRel and read with Acquire. `first_to_split` is lowered with Release and taken
//! with Acquire, so a thread that takes it sees the bits. All else is Relaxed, because bits and notes are guesses.
//!
//! Locks: none.

use core::ptr::null_mut;

use crate::config::HugePages;
use crate::sync::const_unless_loom;
use crate::sync::plain::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use crate::sys;
use crate::units::{CHUNK_BYTES, CHUNK_PAGES, Chunk, PAGE_BYTES, ROOT_CHUNKS, ROOTS, Run};

/// The heap's first pages. They stay on small pages, because a small process should not pay 2 MiB for its first object.
pub(super) const SMALL_PAGES: usize = (1 << 20) / PAGE_BYTES;
/// Pages that the heap leaves unused at its beginning: with [`SMALL_PAGES`] they make up one huge page.
pub(super) const UNUSED_PAGES: usize = if cfg!(loom) { 0 } else { CHUNK_PAGES / HUGE_PAGES_PER_CHUNK - SMALL_PAGES };
/// Huge pages of 2 MiB in a chunk. Each has a bit.
pub(super) const HUGE_PAGES_PER_CHUNK: usize = 2;
const WORDS: usize = (ROOT_CHUNKS * HUGE_PAGES_PER_CHUNK).div_ceil(64);

/// The bits of the huge pages under a root entry.
pub(super) struct Bits {
    pub(super) may_be_huge: [AtomicU64; WORDS],
    /// Huge pages that were released in part, and that the kernel has yet to split.
    pub(super) to_split: [AtomicU64; WORDS],
}

type Table = [AtomicPtr<Bits>; ROOTS];

/// The huge page map.
pub struct HugeMap {
    table: AtomicPtr<Table>,
    /// The lowest root entry that may have huge pages to split; `usize::MAX` if none has.
    pub(super) first_to_split: AtomicUsize,
    /// The chunks that advice was last given for: the first chunk in the upper half, the chunk after the last in the lower
    /// half.
    advised: AtomicU64,
    /// The user's setting: a `HugePages` as a number.
    pub(super) wanted: AtomicU8,
    /// How the heap uses huge pages on this system: one of the `USE_` values. Found out once, at the first growth.
    usage: AtomicU8,
}

/// Not found out yet.
pub(super) const USE_UNKNOWN: u8 = 0;
/// No huge pages: the kernel gives none, or gives them in another size than this map is made for, or the user wants none.
pub(super) const USE_NONE: u8 = 1;
/// The kernel gives huge pages where the heap asks for them.
pub(super) const USE_ASKED: u8 = 2;
/// The kernel gives huge pages wherever they fit. The heap says where it wants none.
pub(super) const USE_ALL: u8 = 3;

impl HugeMap {
    const_unless_loom! {
        /// A map without huge pages.
        pub fn new() -> Self {
            Self {
                table: AtomicPtr::new(null_mut()),
                first_to_split: AtomicUsize::new(0),
                advised: AtomicU64::new(0),
                wanted: AtomicU8::new(HugePages::Auto as u8),
                usage: AtomicU8::new(USE_UNKNOWN),
            }
        }
    }

    /// Takes in the user's setting, before the first growth.
    pub fn configure(&self, wanted: HugePages) {
        self.wanted.store(wanted as u8, Ordering::Relaxed);
    }

    pub(super) fn usage(&self) -> u8 {
        match self.usage.load(Ordering::Relaxed) {
            USE_UNKNOWN => {
                let usage = self.find_usage();
                self.usage.store(usage, Ordering::Relaxed);
                usage
            }
            usage => usage,
        }
    }

    fn find_usage(&self) -> u8 {
        if sys::thp::huge_page_bytes() * HUGE_PAGES_PER_CHUNK != CHUNK_BYTES {
            return USE_NONE;
        }
        let off = self.wanted.load(Ordering::Relaxed) == HugePages::Off as u8;
        match (sys::thp::mode(), off) {
            (sys::thp::Mode::Never, _) => USE_NONE,
            (sys::thp::Mode::Madvise, true) => USE_NONE,
            (sys::thp::Mode::Madvise, false) => USE_ASKED,
            (sys::thp::Mode::Always, _) => USE_ALL,
        }
    }

    /// Pages in a huge page; 0 if the heap has no huge pages.
    pub fn huge_page_pages(&self) -> usize {
        if self.usage() == USE_NONE { 0 } else { CHUNK_BYTES / HUGE_PAGES_PER_CHUNK / PAGE_BYTES }
    }

    pub(super) fn bits(&self, root: usize, make: bool) -> Option<&Bits> {
        let mut table = self.table.load(Ordering::Acquire);
        if table.is_null() {
            if !make {
                return None;
            }
            table = publish(&self.table, size_of::<Table>())?;
        }
        // SAFETY: `publish` made it: zeroed memory of the type's size, never unmapped. Zero is a valid table.
        let cell = unsafe { &*table }.get(root)?;
        let mut bits = cell.load(Ordering::Acquire);
        if bits.is_null() {
            if !make {
                return None;
            }
            bits = publish(cell, size_of::<Bits>())?;
        }
        // SAFETY: as above, and zero is valid for the bits.
        Some(unsafe { &*bits })
    }

    pub(super) fn word(bits: &Bits, chunk: Chunk) -> (&AtomicU64, u32) {
        let index = chunk.index_in_root() * HUGE_PAGES_PER_CHUNK;
        (&bits.may_be_huge[index / 64], (index % 64) as u32)
    }

    /// Whether some part of the chunk may be on a huge page.
    pub fn may_be_huge(&self, chunk: Chunk) -> bool {
        self.bits(chunk.root(), false).is_some_and(|bits| {
            let (word, shift) = Self::word(bits, chunk);
            word.load(Ordering::Relaxed) >> shift & 3 != 0
        })
    }

    /// Whether a part of the chunk may be on a huge page.
    pub(super) fn is_set(&self, chunk: Chunk, part: usize) -> bool {
        self.bits(chunk.root(), false).is_some_and(|bits| {
            let (word, shift) = Self::word(bits, chunk);
            word.load(Ordering::Relaxed) >> (shift + part as u32) & 1 != 0
        })
    }

    /// Notes that the parts of a chunk from `part` on may be on huge pages.
    pub(super) fn set(&self, chunk: Chunk, part: usize) {
        if let Some(bits) = self.bits(chunk.root(), true) {
            let (word, shift) = Self::word(bits, chunk);
            word.fetch_or((3 << part & 3) << shift, Ordering::Relaxed);
        }
    }

    /// Whether the last advice was for all of `run`, which consists of whole chunks.
    pub(super) fn is_advised(&self, run: Run) -> bool {
        let advised = self.advised.load(Ordering::Relaxed);
        run.first.chunk().0 as u64 >= advised >> 32 && run.end().chunk().0 as u64 <= advised & u32::MAX as u64
    }

    pub(super) fn note_advice(&self, run: Run) {
        let advised = (run.first.chunk().0 as u64) << 32 | run.end().chunk().0 as u64;
        self.advised.store(advised, Ordering::Relaxed);
    }

    /// Notes that a huge page is to be split.
    pub(super) fn set_to_split(&self, chunk: Chunk, part: usize) {
        if let Some(bits) = self.bits(chunk.root(), true) {
            let index = chunk.index_in_root() * HUGE_PAGES_PER_CHUNK + part;
            bits.to_split[index / 64].fetch_or(1 << (index % 64), Ordering::Relaxed);
            self.first_to_split.fetch_min(chunk.root(), Ordering::Release);
        }
    }

    /// Takes the next huge page to split under a root entry. Returns its number there.
    pub(super) fn take_to_split(&self, root: usize) -> Option<usize> {
        for (index, word) in self.bits(root, false)?.to_split.iter().enumerate() {
            let mut seen = word.load(Ordering::Relaxed);
            while seen != 0 {
                let bit = seen & seen.wrapping_neg();
                // Another thread may have taken it since.
                if word.fetch_and(!bit, Ordering::Relaxed) & bit != 0 {
                    return Some(index * 64 + bit.trailing_zeros() as usize);
                }
                seen &= !bit;
            }
        }
        None
    }

    /// Makes the next walk over the huge pages to split begin at the start, in the child of a fork. The parent's scavenger
    /// may have been on a walk, and nobody goes on with this walk in the child.
    pub(super) fn restart_splitting_in_child(&self) {
        self.first_to_split.store(0, Ordering::Relaxed);
    }

    /// Clears a huge page's bit. `true` if the bit was set.
    pub(super) fn clear(&self, chunk: Chunk, part: usize) -> bool {
        self.bits(chunk.root(), false).is_some_and(|bits| {
            let (word, shift) = Self::word(bits, chunk);
            let bit = 1 << (shift + part as u32);
            word.load(Ordering::Relaxed) & bit != 0 && word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
        })
    }
}

/// The huge pages, at most `N`, that a batch of releases cuts: releases in part. Each range cuts two huge pages at most.
pub struct Cuts<const N: usize> {
    /// The cut huge pages: each a chunk and a part of the chunk.
    pub(super) parts: [(Chunk, usize); N],
    /// How many cut huge pages there are.
    pub(super) count: usize,
}

impl<const N: usize> Cuts<N> {
    /// No cuts yet.
    pub const fn new() -> Self {
        Self { parts: [(Chunk(0), 0); N], count: 0 }
    }
}

/// The pages of a chunk's huge page.
pub(super) fn huge_page(chunk: Chunk, part: usize) -> Run {
    let pages = CHUNK_PAGES / HUGE_PAGES_PER_CHUNK;
    Run { first: chunk.first_page().plus(part * pages), pages }
}

/// Maps zeroed memory and publishes it in `cell`. Returns another thread's memory if the other thread was faster.
fn publish<T>(cell: &AtomicPtr<T>, bytes: usize) -> Option<*mut T> {
    let memory = sys::vm::map_metadata(bytes)?;
    match cell.compare_exchange(null_mut(), memory.as_ptr().cast(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(memory.as_ptr().cast()),
        Err(theirs) => {
            // SAFETY: this thread mapped the memory just now, and nobody else has seen it.
            unsafe { sys::vm::unmap(memory, bytes) };
            Some(theirs)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_huge_page_to_split_is_taken_once() {
        let map = HugeMap::new();
        map.first_to_split.store(usize::MAX, Ordering::Relaxed);
        assert_eq!(map.take_to_split(1), None);
        let first = ROOT_CHUNKS;
        for (chunk, part) in [(2 * ROOT_CHUNKS, 0), (first + 70, 1), (first, 1), (first + 70, 1)] {
            map.set_to_split(Chunk(chunk), part);
        }
        assert_eq!(map.first_to_split.load(Ordering::Relaxed), 1);
        assert_eq!([(); 3].map(|()| map.take_to_split(1)), [Some(1), Some(141), None]);
        assert_eq!([(); 2].map(|()| map.take_to_split(2)), [Some(0), None]);
        assert!(!map.may_be_huge(Chunk(first)), "a huge page to split is no huge page by this alone");
    }
}
