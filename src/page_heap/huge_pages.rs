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
//! Orderings: those of `huge_map`.
//!
//! Locks: heap, to see how high it reaches; all calls are made without any.

use crate::config::HugePages;
use crate::sync::plain::Ordering;
use crate::sys;
use crate::units::{CHUNK_BYTES, Chunk, Page, ROOT_CHUNKS, Run};

use super::PageHeaps;
use super::arena::pointer;
use super::huge_map::{Cuts, HUGE_PAGES_PER_CHUNK, HugeMap, USE_ALL, USE_NONE, huge_page};
use super::options::ReleaseOptions;

/// Advice is given this far ahead of growth at most: memory is made accessible in such steps.
const MOST_AHEAD_BYTES: usize = 64 << 20;

impl PageHeaps {
    /// Says to the kernel what pages freshly grown chunks want, and those that growth will come to next: the reservation
    /// is accessible up to `accessible_end`. Where the heap `begins_small`, the first huge page is left to small pages.
    pub(super) fn advise_growth(&self, run: Run, accessible_end: usize, begins_small: bool) {
        let usage = self.huge_map.usage();
        if usage == USE_NONE {
            return;
        }
        let (base, end) = (run.first.address(), run.end().address());
        if self.huge_map.wanted.load(Ordering::Relaxed) == HugePages::Off as u8 {
            // SAFETY: chunks of the heap; advice on which pages to use does not change their content.
            let _ = unsafe { sys::vm::huge_pages(false, pointer(base), run.bytes()) };
            return;
        }
        let small = usize::from(begins_small);
        let from = base + small * (CHUNK_BYTES / HUGE_PAGES_PER_CHUNK);
        if begins_small && usage == USE_ALL {
            // SAFETY: as above.
            let _ = unsafe { sys::vm::huge_pages(false, pointer(base), from - base) };
        }
        if self.huge_map.is_advised(run) {
            return;
        }
        let to = if accessible_end > end && accessible_end - end < MOST_AHEAD_BYTES { accessible_end } else { end };
        // Before the advice, and whatever becomes of it: a set bit is only a guess.
        let advised = Run { first: run.first, pages: Page::containing(to).0 - run.first.0 };
        for part in advised.by_chunk() {
            self.huge_map.set(part.first.chunk(), if part.first == run.first { small } else { 0 });
        }
        // SAFETY: as above; what lies ahead is accessible memory of the same reservation.
        if unsafe { sys::vm::huge_pages(true, pointer(from), to - from) }.is_ok() {
            self.huge_map.note_advice(advised);
        }
    }

    /// Lets a huge page that was split be one again, now that all of it is free and released; the caller holds its pages.
    pub(super) fn huge_page_again(&self, chunk: Chunk, part: usize) {
        let usage = self.huge_map.usage();
        let run = huge_page(chunk, part);
        if usage == USE_NONE || self.huge_map.wanted.load(Ordering::Relaxed) == HugePages::Off as u8 {
            return;
        }
        // SAFETY: pages of the heap; the advice leaves content alone.
        if unsafe { sys::vm::huge_pages(true, pointer(run.first.address()), run.bytes()) }.is_err() {
            return;
        }
        if let Some(bits) = self.huge_map.bits(chunk.root(), true) {
            let (word, shift) = HugeMap::word(bits, chunk);
            word.fetch_or(1 << (shift + part as u32), Ordering::Relaxed);
            // Nothing is left of what was to be split.
            let number = chunk.index_in_root() * HUGE_PAGES_PER_CHUNK + part;
            bits.to_split[number / 64].fetch_and(!(1 << (number % 64)), Ordering::Relaxed);
        }
    }

    /// Whether a huge page of a chunk was split, or never was one.
    pub(super) fn is_split(&self, chunk: Chunk, part: usize) -> bool {
        !self.huge_map.is_set(chunk, part)
    }

    /// Page tables were moved from `old` to `new`, and with them what was advised: a huge page may be in `new` now.
    pub(super) fn huge_pages_moved(&self, old: Run, new: Run) {
        if old.by_chunk().any(|part| self.huge_map.may_be_huge(part.first.chunk())) {
            new.by_chunk().for_each(|part| self.huge_map.set(part.first.chunk(), 0));
        }
    }

    /// Whether some part of the chunk may be on a huge page.
    pub fn may_be_huge(&self, chunk: Chunk) -> bool {
        self.huge_map.may_be_huge(chunk)
    }

    /// Prepares the release of part of a chunk: adds the huge pages that it cuts to `cuts`, for [`PageHeaps::after_release`].
    pub fn before_release<const N: usize>(&self, run: Run, options: ReleaseOptions, cuts: &mut Cuts<N>) {
        let chunk = run.first.chunk();
        if options.split_huge_pages && self.huge_map.may_be_huge(chunk) {
            self.add_cuts(chunk, run.first.address(), run.bytes(), cuts);
        }
    }

    /// Adds the huge pages of a chunk that the range covers in part, and keeps the kernel from making them again.
    pub fn add_cuts<const N: usize>(&self, chunk: Chunk, base: usize, bytes: usize, cuts: &mut Cuts<N>) {
        let huge = CHUNK_BYTES / HUGE_PAGES_PER_CHUNK;
        let chunk_base = chunk.first_page().address();
        for part in 0..HUGE_PAGES_PER_CHUNK {
            let (low, high) = (chunk_base + part * huge, chunk_base + (part + 1) * huge);
            let (from, to) = (base.max(low), (base + bytes).min(high));
            if from >= to || (from == low && to == high) || !self.huge_map.clear(chunk, part) {
                continue;
            }
            // SAFETY: pages of the heap; the advice leaves content alone, so it does not matter who holds them.
            let _ = unsafe { sys::vm::huge_pages(false, pointer(low), huge) };
            if let Some(place) = cuts.parts.get_mut(cuts.count) {
                *place = (chunk, part);
                cuts.count += 1;
            }
        }
    }

    /// Notes what a batch has cut, for [`PageHeaps::split_huge_pages`]. Only now: the kernel splits what is cut already, and
    /// whoever splits takes each note once. After a batch that was not released in full they may be huge still.
    pub fn after_release<const N: usize>(&self, cuts: &Cuts<N>, in_full: bool) {
        for &(chunk, part) in &cuts.parts[..cuts.count] {
            self.huge_map.set_to_split(chunk, part);
            if !in_full {
                self.huge_map.set(chunk, part);
            }
        }
    }

    /// Makes the kernel split the huge pages that were released in part: only this gives their memory back. To be called
    /// after the releases. What is beyond `most` or a spent effort is left to the next call: whether there is such.
    pub fn split_huge_pages(&self, most: usize, options: ReleaseOptions) -> bool {
        let first = self.huge_map.first_to_split.swap(usize::MAX, Ordering::Acquire);
        if first == usize::MAX {
            return false;
        }
        let high = self.high_chunk();
        let mut left = most;
        for root in first..=high.root() {
            while let Some(number) = self.huge_map.take_to_split(root) {
                let run =
                    huge_page(Chunk(root * ROOT_CHUNKS + number / HUGE_PAGES_PER_CHUNK), number % HUGE_PAGES_PER_CHUNK);
                // SAFETY: pages of the heap; the advice leaves content alone, so it does not matter who holds them.
                let _ = unsafe { sys::vm::cold(pointer(run.first.address()), run.bytes()) };
                left = left.saturating_sub(1);
                if left == 0 || options.is_spent() {
                    self.huge_map.first_to_split.fetch_min(root, Ordering::Release);
                    return true;
                }
            }
        }
        false
    }
}
