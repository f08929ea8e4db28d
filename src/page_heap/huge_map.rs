//! The huge page map: which 2 MiB parts of the heap may be on a huge page, and which of these the kernel has yet to split.
//!
//! Orderings: tables are published with AcqRel and read with Acquire; `first_to_split` is lowered with Release and taken with
//! Acquire, so that who takes it sees the bits; the rest is Relaxed: bits and figures are guesses.
//!
//! Locks: none.

use core::ptr::null_mut;

use crate::config::HugePages;
use crate::sync::const_unless_loom;
use crate::sync::plain::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use crate::sys;
use crate::units::{CHUNK_BYTES, CHUNK_PAGES, Chunk, PAGE_BYTES, ROOT_CHUNKS, ROOTS, Run};

/// The heap's first pages, which stay on small pages: a small process should not pay 2 MiB for its first object.
pub(super) const SMALL_PAGES: usize = (1 << 20) / PAGE_BYTES;
/// Pages that the heap leaves unused at its beginning: what a huge page has beyond [`SMALL_PAGES`].
pub(super) const UNUSED_PAGES: usize = if cfg!(loom) { 0 } else { CHUNK_PAGES / HUGE_PAGES_PER_CHUNK - SMALL_PAGES };
/// Huge pages of 2 MiB in a chunk; each has a bit.
pub(super) const HUGE_PAGES_PER_CHUNK: usize = 2;
const WORDS: usize = (ROOT_CHUNKS * HUGE_PAGES_PER_CHUNK).div_ceil(64);

/// A root entry's huge pages.
pub(super) struct Bits {
    pub(super) may_be_huge: [AtomicU64; WORDS],
    /// Parts of these were released, and the kernel has yet to be made to split them.
    pub(super) to_split: [AtomicU64; WORDS],
}

type Table = [AtomicPtr<Bits>; ROOTS];

/// Which 2 MiB parts of the heap may be on a huge page. A set bit is a guess, a clear one is certain.
pub struct HugeMap {
    table: AtomicPtr<Table>,
    /// No root entry below has huge pages to split; `usize::MAX` if none has.
    pub(super) first_to_split: AtomicUsize,
    /// The chunks that advice was last given for: number of the first, and of the one after the last in the lower half.
    advised: AtomicU64,
    /// What the user wants: `HugePages` as a number.
    pub(super) wanted: AtomicU8,
    /// What that means on this system; asked once, at the first growth. One of the `USE_` values.
    usage: AtomicU8,
}

/// Not asked yet.
pub(super) const USE_UNKNOWN: u8 = 0;
/// The kernel gives no huge pages, or not of the size this map is made for, or the user wants none.
pub(super) const USE_NONE: u8 = 1;
/// Huge pages where the heap asks for them.
pub(super) const USE_ASKED: u8 = 2;
/// Huge pages wherever they fit: the heap says where not.
pub(super) const USE_ALL: u8 = 3;

impl HugeMap {
    const_unless_loom! {
        /// No huge pages anywhere.
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

    /// Takes in the user's setting; before the first growth.
    pub fn configure(&self, wanted: HugePages) {
        self.wanted.store(wanted as u8, Ordering::Relaxed);
    }

    pub(super) fn usage(&self) -> u8 {
        match self.usage.load(Ordering::Relaxed) {
            USE_UNKNOWN => {
                let usage = self.ask();
                self.usage.store(usage, Ordering::Relaxed);
                usage
            }
            usage => usage,
        }
    }

    fn ask(&self) -> u8 {
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

    /// Pages in a huge page, or 0 where the heap has none.
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
        // SAFETY: published zeroed memory of the type's size, never unmapped; zero is valid for it.
        let cell = unsafe { &*table }.get(root)?;
        let mut bits = cell.load(Ordering::Acquire);
        if bits.is_null() {
            if !make {
                return None;
            }
            bits = publish(cell, size_of::<Bits>())?;
        }
        // SAFETY: as above.
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

    /// Whether a huge page of the chunk may be there.
    pub(super) fn is_set(&self, chunk: Chunk, part: usize) -> bool {
        self.bits(chunk.root(), false).is_some_and(|bits| {
            let (word, shift) = Self::word(bits, chunk);
            word.load(Ordering::Relaxed) >> (shift + part as u32) & 1 != 0
        })
    }

    /// Notes that all huge pages of a chunk from `part` on may be there.
    pub(super) fn set(&self, chunk: Chunk, part: usize) {
        if let Some(bits) = self.bits(chunk.root(), true) {
            let (word, shift) = Self::word(bits, chunk);
            word.fetch_or((3 << part & 3) << shift, Ordering::Relaxed);
        }
    }

    /// Whether the last advice was for all of `run` (whole chunks).
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

    /// Takes the next huge page to split out of a root entry, as its number there.
    pub(super) fn take_to_split(&self, root: usize) -> Option<usize> {
        for (index, word) in self.bits(root, false)?.to_split.iter().enumerate() {
            let mut seen = word.load(Ordering::Relaxed);
            while seen != 0 {
                let bit = seen & seen.wrapping_neg();
                // Somebody else may have taken it since.
                if word.fetch_and(!bit, Ordering::Relaxed) & bit != 0 {
                    return Some(index * 64 + bit.trailing_zeros() as usize);
                }
                seen &= !bit;
            }
        }
        None
    }

    /// In the child of a fork, where nobody goes on with the walk that the parent's scavenger may have been on: the next walk
    /// begins at the start.
    pub(super) fn begin_again(&self) {
        self.first_to_split.store(0, Ordering::Relaxed);
    }

    /// Clears one huge page's bit; `true` if it was set.
    pub(super) fn clear(&self, chunk: Chunk, part: usize) -> bool {
        self.bits(chunk.root(), false).is_some_and(|bits| {
            let (word, shift) = Self::word(bits, chunk);
            let bit = 1 << (shift + part as u32);
            word.load(Ordering::Relaxed) & bit != 0 && word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
        })
    }
}

/// The huge pages, at most `N`, that the releases of a batch cut: each range cuts two at most.
pub struct Cuts<const N: usize> {
    /// Chunks and parts of chunks.
    pub(super) parts: [(Chunk, usize); N],
    /// How many there are.
    pub(super) count: usize,
}

impl<const N: usize> Cuts<N> {
    /// None yet.
    pub const fn new() -> Self {
        Self { parts: [(Chunk(0), 0); N], count: 0 }
    }
}

/// The pages of one of a chunk's huge pages.
pub(super) fn huge_page(chunk: Chunk, part: usize) -> Run {
    let pages = CHUNK_PAGES / HUGE_PAGES_PER_CHUNK;
    Run { first: chunk.first_page().plus(part * pages), pages }
}

/// Maps zeroed memory and publishes it in `cell`, unless somebody else was faster.
fn publish<T>(cell: &AtomicPtr<T>, bytes: usize) -> Option<*mut T> {
    let memory = sys::vm::map_metadata(bytes)?;
    match cell.compare_exchange(null_mut(), memory.as_ptr().cast(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(memory.as_ptr().cast()),
        Err(theirs) => {
            // SAFETY: mapped just now, seen by nobody else.
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
        assert!(!map.may_be_huge(Chunk(first)), "it says nothing about what may be huge");
    }
}
