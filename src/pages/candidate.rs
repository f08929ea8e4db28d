//! What to release next in a chunk: a search of its two bitmaps.
//!
//! Only whole OS pages can be released, so the search looks at groups of pages: a group counts only if each of its pages is
//! free and not released. The highest run of such groups is the candidate. The release of a part of a huge page makes the
//! kernel split the huge page, which costs more than the part gives. So the candidate's lower end never cuts a huge page
//! that could be released whole.
//!
//! Locks: none; the caller holds the heap lock. The search changes nothing.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, CHUNK_WORDS, Chunk, Run};

use super::bits::ChunkBits;
use super::word::{fill_aligned, mask};

/// What the search found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The run to release. It is in use from now on, so nobody else can take it.
    pub run: Option<Run>,
    /// Whether the chunk has more to release below the run.
    pub more_below: bool,
}

impl Candidate {
    /// Nothing to release.
    pub const NONE: Self = Self { run: None, more_below: false };
}

impl ChunkBits {
    /// The pages of word `word` in groups of `group` pages that are free and not released as a whole.
    #[inline]
    fn releasable(&self, word: usize, group: usize) -> u64 {
        !fill_aligned(!(self.free[word] & !self.scavenged[word]), group)
    }

    /// Finds the run that [`PageAllocator::alloc_candidate`](super::PageAllocator::alloc_candidate) takes, and which is
    /// described there.
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
        // The search begins with the whole group that holds the given page, or with the whole huge page if it can be released
        // whole.
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
    // The bits above `last` are shifted out, so the leading ones of the word are the run's.
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
