//! Huge pages: the advice that growth gives the kernel, and the splitting that a release needs.
//!
//! Growth asks for huge pages once the heap is no longer small, so dense memory costs one fault for 2 MiB. The heap's first
//! pages (`SMALL_PAGES`) are the upper end of a huge page whose lower end stays unused. So a small process pays only for
//! the pages that it touches. Long runs stay above these pages (`single`). The advice covers all accessible memory ahead of
//! the growth, because another thread may touch a new chunk before the thread that grew the heap gives advice for it.
//!
//! A release must give back *physical* memory. MADV_DONTNEED on a part of a huge page only unmaps the part: the kernel
//! frees nothing until the huge page is split (kernel 6.18). A release in part takes three steps:
//! 1. `before_release` asks for small pages there, so khugepaged does not fault the released part in again.
//! 2. The parts are released.
//! 3. `split_huge_pages` makes the kernel split the huge page with MADV_COLD. It comes last, because a split takes up each
//!    page that is still there (`benches/results/decisions.md`).
//!
//! A huge page that is released as a whole keeps its advice. The Go runtime's history says what not to do: MADV_HUGEPAGE
//! stalled, MADV_COLLAPSE ran under a lock, khugepaged undid releases.
//!
//! Orderings: see `huge_map`.
//!
//! Locks: heap, to see how high the heap reaches. No lock is held during a system call.

use crate::config::HugePages;
use crate::sync::plain::Ordering;
use crate::sys;
use crate::units::{CHUNK_BYTES, Chunk, Page, ROOT_CHUNKS, Run};

use super::PageHeaps;
use super::arena::pointer;
use super::huge_map::{Cuts, HUGE_PAGES_PER_CHUNK, HugeMap, USE_ALL, USE_NONE, huge_page};
use super::options::ReleaseOptions;

/// The advice reaches at most this far ahead of a growth, because memory is made accessible in such steps.
const MOST_AHEAD_BYTES: usize = 64 << 20;

impl PageHeaps {
    /// Advises the kernel which pages to use for freshly grown chunks, and for the accessible memory ahead of them, which
    /// ends at `accessible_end`. If the heap `begins_small`, its first huge page is left to small pages.
    pub(super) fn advise_growth(&self, run: Run, accessible_end: usize, begins_small: bool) {
        let usage = self.huge_map.usage();
        if usage == USE_NONE {
            return;
        }
        let (base, end) = (run.first.address(), run.end().address());
        if self.huge_map.wanted.load(Ordering::Relaxed) == HugePages::Off as u8 {
            // SAFETY: the chunks belong to the heap, and the advice does not change their content.
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
        // The bits are set before the advice, and stay if the kernel refuses it: a set bit is only a guess.
        let advised = Run { first: run.first, pages: Page::containing(to).0 - run.first.0 };
        for part in advised.by_chunk() {
            self.huge_map.set(part.first.chunk(), if part.first == run.first { small } else { 0 });
        }
        // SAFETY: as above. The memory ahead is accessible memory of the same reservation.
        if unsafe { sys::vm::huge_pages(true, pointer(from), to - from) }.is_ok() {
            self.huge_map.note_advice(advised);
        }
    }

    /// Lets a split huge page become a huge page again. All of it is free and released, and the caller has marked its pages
    /// allocated.
    pub(super) fn let_be_huge_again(&self, chunk: Chunk, part: usize) {
        let usage = self.huge_map.usage();
        let run = huge_page(chunk, part);
        if usage == USE_NONE || self.huge_map.wanted.load(Ordering::Relaxed) == HugePages::Off as u8 {
            return;
        }
        // SAFETY: the pages belong to the heap, and the advice does not change their content.
        if unsafe { sys::vm::huge_pages(true, pointer(run.first.address()), run.bytes()) }.is_err() {
            return;
        }
        if let Some(bits) = self.huge_map.bits(chunk.root(), true) {
            let (word, shift) = HugeMap::word(bits, chunk);
            word.fetch_or(1 << (shift + part as u32), Ordering::Relaxed);
            // The huge page that was to be split is gone.
            let number = chunk.index_in_root() * HUGE_PAGES_PER_CHUNK + part;
            bits.to_split[number / 64].fetch_and(!(1 << (number % 64)), Ordering::Relaxed);
        }
    }

    /// Whether a part of a chunk is on small pages: its huge page was split, or it never had a huge page.
    pub(super) fn is_split(&self, chunk: Chunk, part: usize) -> bool {
        !self.huge_map.is_set(chunk, part)
    }

    /// Notes that page tables were moved from `old` to `new`. The advice moved with them, so huge pages may be in `new`
    /// now.
    pub(super) fn huge_pages_moved(&self, old: Run, new: Run) {
        if old.by_chunk().any(|part| self.huge_map.may_be_huge(part.first.chunk())) {
            new.by_chunk().for_each(|part| self.huge_map.set(part.first.chunk(), 0));
        }
    }

    /// Whether some part of the chunk may be on a huge page.
    pub fn may_be_huge(&self, chunk: Chunk) -> bool {
        self.huge_map.may_be_huge(chunk)
    }

    /// Prepares the release of a run in a chunk: adds the huge pages that the release cuts to `cuts`, for
    /// [`PageHeaps::after_release`].
    pub fn before_release<const N: usize>(&self, run: Run, options: ReleaseOptions, cuts: &mut Cuts<N>) {
        let chunk = run.first.chunk();
        if options.split_huge_pages && self.huge_map.may_be_huge(chunk) {
            self.add_cuts(chunk, run.first.address(), run.bytes(), cuts);
        }
    }

    /// Adds the huge pages of a chunk that the range covers in part to `cuts`, and keeps the kernel from making them again.
    pub fn add_cuts<const N: usize>(&self, chunk: Chunk, base: usize, bytes: usize, cuts: &mut Cuts<N>) {
        let huge = CHUNK_BYTES / HUGE_PAGES_PER_CHUNK;
        let chunk_base = chunk.first_page().address();
        for part in 0..HUGE_PAGES_PER_CHUNK {
            let (low, high) = (chunk_base + part * huge, chunk_base + (part + 1) * huge);
            let (from, to) = (base.max(low), (base + bytes).min(high));
            if from >= to || (from == low && to == high) || !self.huge_map.clear(chunk, part) {
                continue;
            }
            // SAFETY: the pages belong to the heap. The advice does not change their content, so it does not matter who has
            // them.
            let _ = unsafe { sys::vm::huge_pages(false, pointer(low), huge) };
            if let Some(place) = cuts.parts.get_mut(cuts.count) {
                *place = (chunk, part);
                cuts.count += 1;
            }
        }
    }

    /// Notes the huge pages that a batch has cut, for [`PageHeaps::split_huge_pages`]. The notes come after the release,
    /// because the kernel can only split a huge page that is cut already, and each note is taken once. If the batch was not
    /// released in full, the huge pages may still be huge.
    pub fn after_release<const N: usize>(&self, cuts: &Cuts<N>, in_full: bool) {
        for &(chunk, part) in &cuts.parts[..cuts.count] {
            self.huge_map.set_to_split(chunk, part);
            if !in_full {
                self.huge_map.set(chunk, part);
            }
        }
    }

    /// Makes the kernel split at most `most` huge pages that were released in part. Only the split gives their memory back.
    /// Returns whether huge pages to split are left for the next call, because of `most` or because the CPU time is spent.
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
                // SAFETY: the pages belong to the heap. The advice does not change their content, so it does not matter who
                // has them.
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
