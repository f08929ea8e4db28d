//! What to release next in a chunk: the search on the two bitmaps.
//!
//! Only whole OS pages can be released, so the bitmaps are first coarsened: a group of pages counts only if every page of
//! it is free and none is released. From the top down, the first run of such groups is the candidate. Releasing part of
//! a huge page makes the kernel split it, which costs more than it gives; so a cut never falls into a huge page that could be
//! released whole.
//!
//! Locks: none; the caller holds the heap lock. Changes nothing.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, CHUNK_WORDS, Chunk, Run};

use super::bits::ChunkBits;
use super::word::{fill_aligned, mask};

/// What a search for something to release in a chunk found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The run, in use from now on so that nobody can take it.
    pub run: Option<Run>,
    /// Whether the chunk holds more to release below the run.
    pub more_below: bool,
}

impl Candidate {
    /// Nothing to release.
    pub const NONE: Self = Self { run: None, more_below: false };
}

impl ChunkBits {
    /// The pages of word `word` that belong to a whole group of `group` free pages none of which is released.
    #[inline]
    fn releasable(&self, word: usize, group: usize) -> u64 {
        !fill_aligned(!(self.free[word] & !self.scavenged[word]), group)
    }

    /// See [`PageAllocator::take_candidate`](super::PageAllocator::take_candidate), which takes what this finds.
    pub(super) fn candidate(
        &self,
        chunk: Chunk,
        from_index: usize,
        min_pages: usize,
        max_pages: usize,
        huge_page_pages: usize,
    ) -> Candidate {
        let group = min_pages.clamp(1, 64).next_power_of_two();
        let max = max_pages.clamp(group, CHUNK_PAGES).next_multiple_of(group);
        // Begin with the whole group that holds the given page, and with the whole huge page if that is to be kept whole.
        let from = from_index.min(CHUNK_PAGES - 1);
        let huge = if huge_page_pages > group && huge_page_pages <= CHUNK_PAGES && huge_page_pages.is_power_of_two() {
            huge_page_pages
        } else {
            1
        };
        let huge_base = from & !(huge - 1);
        let limit =
            if huge > 1 && self.is_releasable(huge_base, huge) { huge_base + huge } else { (from | (group - 1)) + 1 };

        let mut words = [0; CHUNK_WORDS];
        for (word, kept) in words.iter_mut().enumerate() {
            if word * 64 < limit {
                *kept = self.releasable(word, group) & mask(0, (limit - word * 64).min(64));
            }
        }
        let Some(last) = highest(&words) else {
            return Candidate::NONE;
        };
        let end = last + 1;
        let bottom = run_bottom(&words, last);
        let mut start = end - max.min(end - bottom);
        let huge_start = start & !(huge - 1);
        if huge_start >= bottom && huge_start + huge <= end {
            start = huge_start;
        }
        let more_below = start > bottom || words_below(&words, start);
        Candidate { run: Some(Run { first: chunk.first_page().plus(start), pages: end - start }), more_below }
    }

    /// Whether all these pages are free and not released.
    fn is_releasable(&self, from: usize, pages: usize) -> bool {
        let mut all = true;
        super::bits::words(from, pages, |word, mask| all &= self.free[word] & !self.scavenged[word] & mask == mask);
        all
    }
}

/// The highest set bit.
fn highest(words: &[u64; CHUNK_WORDS]) -> Option<usize> {
    let word = words.iter().rposition(|&word| word != 0)?;
    Some(word * 64 + 63 - words[word].leading_zeros() as usize)
}

/// The lowest bit of the run of set bits whose highest is `last`.
fn run_bottom(words: &[u64; CHUNK_WORDS], last: usize) -> usize {
    let mut word = last / 64;
    // The run's bits at the top of the current word, once what lies above `last` is shifted out.
    let above = 63 - last % 64;
    let mut bottom = last + 1 - (words[word] << above).leading_ones() as usize;
    while bottom == word * 64 && word > 0 {
        word -= 1;
        bottom -= words[word].leading_ones() as usize;
    }
    bottom
}

/// Whether a bit below `end` is set.
fn words_below(words: &[u64; CHUNK_WORDS], end: usize) -> bool {
    words.iter().enumerate().any(|(word, &bits)| word * 64 < end && bits & mask(0, (end - word * 64).min(64)) != 0)
}
