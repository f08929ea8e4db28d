//! Huge pages: which parts of the heap may be on them, and what that means for growth and release.
//!
//! Growth asks for huge pages once the heap is no longer small: dense memory then costs one fault for 2 MiB. The heap's first
//! pages are the upper end of a huge page that stays unused below (`SMALL_PAGES`), so that a small process pays for
//! what it touches, and a larger one for little more than that on small pages; long runs stay above them (`page_heap`). The advice is given ahead of growth, for
//! all that was made accessible, since another thread may touch a new chunk before the one that grew has come to it. A release
//! must give back *physical* memory: the kernel unmaps part of a huge page on MADV_DONTNEED but frees nothing until the
//! page is split, which MADV_COLD does. It is asked to once all that is to go has gone, since it takes up each page that is
//! still there. Before, the huge page is asked to stay on small pages, so that khugepaged does not fault the released part
//! in again. Whole huge pages are released whole and keep their advice. Measured on kernel 6.18; the Go runtime's history
//! (MADV_HUGEPAGE stalls, MADV_COLLAPSE under a lock, khugepaged undoing releases) says what not to do.
//!
//! Orderings: tables are published with AcqRel and read with Acquire; `first_to_split` is lowered with Release and taken with
//! Acquire, so that who takes it sees the bits; the rest is Relaxed: bits and figures are guesses.
//!
//! Locks: heap, to see how high it reaches; all calls are made without any.

use core::ptr::null_mut;

use crate::config::HugePages;
use crate::sync::const_unless_loom;
use crate::sync::plain::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use crate::sys;
use crate::units::{CHUNK_BYTES, CHUNK_PAGES, Chunk, PAGE_BYTES, Page, ROOT_CHUNKS, ROOTS, Run};

use super::Heap;
use super::scavenge::{ReleaseOptions, address};

/// The heap's first pages, which stay on small pages: a small process should not pay 2 MiB for its first object.
pub(super) const SMALL_PAGES: usize = (1 << 20) / PAGE_BYTES;
/// Advice is given this far ahead of growth at most: memory is made accessible in such steps.
const MOST_AHEAD_BYTES: usize = 64 << 20;
/// Pages that the heap leaves unused at its beginning: what a huge page has beyond [`SMALL_PAGES`].
pub(super) const UNUSED_PAGES: usize = if cfg!(loom) { 0 } else { CHUNK_PAGES / HUGE_PAGES_PER_CHUNK - SMALL_PAGES };
/// Huge pages of 2 MiB in a chunk; each has a bit.
pub(super) const HUGE_PAGES_PER_CHUNK: usize = 2;
const WORDS: usize = (ROOT_CHUNKS * HUGE_PAGES_PER_CHUNK).div_ceil(64);

/// A root entry's huge pages.
struct Bits {
    may_be_huge: [AtomicU64; WORDS],
    /// Parts of these were released, and the kernel has yet to be made to split them.
    to_split: [AtomicU64; WORDS],
}

type Table = [AtomicPtr<Bits>; ROOTS];

/// Which 2 MiB parts of the heap may be on a huge page. A set bit is a guess, a clear one is certain.
pub struct HugeMap {
    table: AtomicPtr<Table>,
    /// No root entry below has huge pages to split; `usize::MAX` if none has.
    first_to_split: AtomicUsize,
    /// The chunks that advice was last given for: number of the first, and of the one after the last in the lower half.
    advised: AtomicU64,
    /// What the user wants: `HugePages` as a number.
    wanted: AtomicU8,
    /// What that means on this system; asked once, at the first growth. One of the `USE_` values.
    usage: AtomicU8,
}

/// Not asked yet.
const USE_UNKNOWN: u8 = 0;
/// The kernel gives no huge pages, or not of the size this map is made for, or the user wants none.
const USE_NONE: u8 = 1;
/// Huge pages where the heap asks for them.
const USE_ASKED: u8 = 2;
/// Huge pages wherever they fit: the heap says where not.
const USE_ALL: u8 = 3;

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

    fn usage(&self) -> u8 {
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

    fn bits(&self, root: usize, make: bool) -> Option<&Bits> {
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

    fn word(bits: &Bits, chunk: Chunk) -> (&AtomicU64, u32) {
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
    fn is_set(&self, chunk: Chunk, part: usize) -> bool {
        self.bits(chunk.root(), false).is_some_and(|bits| {
            let (word, shift) = Self::word(bits, chunk);
            word.load(Ordering::Relaxed) >> (shift + part as u32) & 1 != 0
        })
    }

    /// Notes that all huge pages of a chunk from `part` on may be there.
    fn set(&self, chunk: Chunk, part: usize) {
        if let Some(bits) = self.bits(chunk.root(), true) {
            let (word, shift) = Self::word(bits, chunk);
            word.fetch_or((3 << part & 3) << shift, Ordering::Relaxed);
        }
    }

    /// Whether the last advice was for all of `run` (whole chunks).
    fn is_advised(&self, run: Run) -> bool {
        let advised = self.advised.load(Ordering::Relaxed);
        run.first.chunk().0 as u64 >= advised >> 32 && run.end().chunk().0 as u64 <= advised & u32::MAX as u64
    }

    fn note_advice(&self, run: Run) {
        let advised = (run.first.chunk().0 as u64) << 32 | run.end().chunk().0 as u64;
        self.advised.store(advised, Ordering::Relaxed);
    }

    /// Notes that a huge page is to be split.
    fn set_to_split(&self, chunk: Chunk, part: usize) {
        if let Some(bits) = self.bits(chunk.root(), true) {
            let index = chunk.index_in_root() * HUGE_PAGES_PER_CHUNK + part;
            bits.to_split[index / 64].fetch_or(1 << (index % 64), Ordering::Relaxed);
            self.first_to_split.fetch_min(chunk.root(), Ordering::Release);
        }
    }

    /// Takes the next huge page to split out of a root entry, as its number there.
    fn take_to_split(&self, root: usize) -> Option<usize> {
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

    /// Clears one huge page's bit; `true` if it was set.
    fn clear(&self, chunk: Chunk, part: usize) -> bool {
        self.bits(chunk.root(), false).is_some_and(|bits| {
            let (word, shift) = Self::word(bits, chunk);
            let bit = 1 << (shift + part as u32);
            word.load(Ordering::Relaxed) & bit != 0 && word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
        })
    }
}

/// The huge pages, at most `N`, that the releases of a batch cut: each range cuts two at most.
pub(super) struct Cuts<const N: usize> {
    parts: [(Chunk, usize); N],
    count: usize,
}

impl<const N: usize> Cuts<N> {
    /// None yet.
    pub(super) const fn new() -> Self {
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

impl Heap {
    /// Says to the kernel what pages freshly grown chunks want, and those that growth will come to next: the reservation
    /// is accessible up to `accessible_end`. Where the heap `begins_small`, the first huge page is left to small pages.
    pub(super) fn advise_growth(&self, run: Run, accessible_end: usize, begins_small: bool) {
        let usage = self.huge.usage();
        if usage == USE_NONE {
            return;
        }
        let (base, end) = (run.first.address(), run.end().address());
        if self.huge.wanted.load(Ordering::Relaxed) == HugePages::Off as u8 {
            // SAFETY: chunks of the heap; advice on which pages to use does not change their content.
            let _ = unsafe { sys::vm::huge_pages(false, address(base), run.bytes()) };
            return;
        }
        let small = usize::from(begins_small);
        let from = base + small * (CHUNK_BYTES / HUGE_PAGES_PER_CHUNK);
        if begins_small && usage == USE_ALL {
            // SAFETY: as above.
            let _ = unsafe { sys::vm::huge_pages(false, address(base), from - base) };
        }
        if self.huge.is_advised(run) {
            return;
        }
        let to = if accessible_end > end && accessible_end - end < MOST_AHEAD_BYTES { accessible_end } else { end };
        // Before the advice, and whatever becomes of it: a set bit is only a guess.
        let advised = Run { first: run.first, pages: Page::containing(to).0 - run.first.0 };
        for part in advised.by_chunk() {
            self.huge.set(part.first.chunk(), if part.first == run.first { small } else { 0 });
        }
        // SAFETY: as above; what lies ahead is accessible memory of the same reservation.
        if unsafe { sys::vm::huge_pages(true, address(from), to - from) }.is_ok() {
            self.huge.note_advice(advised);
        }
    }

    /// Lets a huge page that was split be one again, now that all of it is free and released; the caller holds its pages.
    pub(super) fn huge_page_again(&self, chunk: Chunk, part: usize) {
        let usage = self.huge.usage();
        let run = huge_page(chunk, part);
        if usage == USE_NONE || self.huge.wanted.load(Ordering::Relaxed) == HugePages::Off as u8 {
            return;
        }
        // SAFETY: pages of the heap; the advice leaves content alone.
        if unsafe { sys::vm::huge_pages(true, address(run.first.address()), run.bytes()) }.is_ok()
            && let Some(bits) = self.huge.bits(chunk.root(), true)
        {
            let (word, shift) = HugeMap::word(bits, chunk);
            word.fetch_or(1 << (shift + part as u32), Ordering::Relaxed);
            // Nothing is left of what was to be split.
            let number = chunk.index_in_root() * HUGE_PAGES_PER_CHUNK + part;
            bits.to_split[number / 64].fetch_and(!(1 << (number % 64)), Ordering::Relaxed);
        }
    }

    /// Whether a huge page of a chunk was split, or never was one.
    pub(super) fn is_split(&self, chunk: Chunk, part: usize) -> bool {
        !self.huge.is_set(chunk, part)
    }

    /// Page tables were moved from `old` to `new`, and with them what was advised: a huge page may be in `new` now.
    pub(super) fn huge_pages_moved(&self, old: Run, new: Run) {
        if old.by_chunk().any(|part| self.huge.may_be_huge(part.first.chunk())) {
            new.by_chunk().for_each(|part| self.huge.set(part.first.chunk(), 0));
        }
    }

    /// Prepares the release of part of a chunk: adds the huge pages that it cuts to `cuts`, for [`Heap::after_release`].
    pub(super) fn before_release<const N: usize>(&self, run: Run, options: ReleaseOptions, cuts: &mut Cuts<N>) {
        let chunk = run.first.chunk();
        if options.split_huge_pages && self.huge.may_be_huge(chunk) {
            self.add_cuts(chunk, run.first.address(), run.bytes(), cuts);
        }
    }

    /// Adds the huge pages of a chunk that the range covers in part, and keeps the kernel from making them again.
    pub(super) fn add_cuts<const N: usize>(&self, chunk: Chunk, base: usize, bytes: usize, cuts: &mut Cuts<N>) {
        let huge = CHUNK_BYTES / HUGE_PAGES_PER_CHUNK;
        let chunk_base = chunk.first_page().address();
        for part in 0..HUGE_PAGES_PER_CHUNK {
            let (low, high) = (chunk_base + part * huge, chunk_base + (part + 1) * huge);
            let (from, to) = (base.max(low), (base + bytes).min(high));
            if from >= to || (from == low && to == high) || !self.huge.clear(chunk, part) {
                continue;
            }
            // SAFETY: pages of the heap; the advice leaves content alone, so it does not matter who holds them.
            let _ = unsafe { sys::vm::huge_pages(false, address(low), huge) };
            if let Some(place) = cuts.parts.get_mut(cuts.count) {
                *place = (chunk, part);
                cuts.count += 1;
            }
        }
    }

    /// Notes what a batch has cut, for [`Heap::split_huge_pages`]. Only now: the kernel splits what is cut already, and
    /// whoever splits takes each note once. After a batch that was not released in full they may be huge still.
    pub(super) fn after_release<const N: usize>(&self, cuts: &Cuts<N>, in_full: bool) {
        for &(chunk, part) in &cuts.parts[..cuts.count] {
            self.huge.set_to_split(chunk, part);
            if !in_full {
                self.huge.set(chunk, part);
            }
        }
    }

    /// Makes the kernel split the huge pages that were released in part: only this gives their memory back. To be called
    /// after the releases. What is beyond `most` or a spent effort is left to the next call: whether there is such.
    pub fn split_huge_pages(&self, most: usize, options: ReleaseOptions) -> bool {
        let first = self.huge.first_to_split.swap(usize::MAX, Ordering::Acquire);
        if first == usize::MAX {
            return false;
        }
        let high = self.high_chunk();
        let mut left = most;
        for root in first..=high.root() {
            while let Some(number) = self.huge.take_to_split(root) {
                let run =
                    huge_page(Chunk(root * ROOT_CHUNKS + number / HUGE_PAGES_PER_CHUNK), number % HUGE_PAGES_PER_CHUNK);
                // SAFETY: pages of the heap; the advice leaves content alone, so it does not matter who holds them.
                let _ = unsafe { sys::vm::cold(address(run.first.address()), run.bytes()) };
                left = left.saturating_sub(1);
                if left == 0 || options.is_spent() {
                    self.huge.first_to_split.fetch_min(root, Ordering::Release);
                    return true;
                }
            }
        }
        false
    }

    /// In the child of a fork, where nobody goes on with the walk that the parent's scavenger may have been on: the next
    /// one begins at the start.
    pub(super) fn recount_to_split_in_child(&self) {
        self.huge.first_to_split.store(0, Ordering::Relaxed);
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
