//! A chunk's two bitmaps: which pages are free, and which free pages are released.
//!
//! The bitmaps lie side by side (two cache lines), because every take reads and writes both. A set bit in `free` means
//! free, so an untouched, unmapped chunk offers nothing.
//!
//! Invariant: `scavenged` is a subset of `free`.
//! Locks: none; the caller holds the heap lock.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, CHUNK_WORDS};

use super::summary::Summary;
use super::word::{find_run, longest_run, mask};

/// Masks a word's number. The compiler sees the mask, and leaves the bounds check out.
const WORD: usize = CHUNK_WORDS - 1;

/// The bitmaps of one chunk.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct ChunkBits {
    pub(super) free: [u64; CHUNK_WORDS],
    pub(super) scavenged: [u64; CHUNK_WORDS],
}

/// Calls `f(word number, mask)` for each word that pages `from..from + pages` of a chunk touch.
#[inline]
pub(super) fn words(from: usize, pages: usize, mut f: impl FnMut(usize, u64)) {
    debug_assert!(pages >= 1 && from + pages <= CHUNK_PAGES);
    let end = from + pages;
    let mut word = from / 64;
    let mut low = from % 64;
    while word * 64 < end {
        let high = if end - word * 64 < 64 { end - word * 64 } else { 64 };
        f(word & WORD, mask(low, high - low));
        low = 0;
        word += 1;
    }
}

impl ChunkBits {
    /// Nothing free.
    pub(super) const FULL: Self = Self { free: [0; CHUNK_WORDS], scavenged: [0; CHUNK_WORDS] };

    /// Makes every page free and released, as in a chunk that has just been mapped.
    pub(super) fn set_fresh(&mut self) {
        self.free = [u64::MAX; CHUNK_WORDS];
        self.scavenged = [u64::MAX; CHUNK_WORDS];
    }

    /// Takes `pages` free pages. Returns how many of them were released.
    #[inline]
    pub(super) fn take(&mut self, from: usize, pages: usize) -> usize {
        let mut scavenged = 0;
        words(from, pages, |word, mask| {
            debug_assert!(self.free[word] & mask == mask);
            self.free[word] &= !mask;
            // Mostly no page is released. Where the compiler may not use a population count instruction, a count takes longer
            // than all the rest of this function.
            let released = self.scavenged[word] & mask;
            if released != 0 {
                scavenged += released.count_ones();
                self.scavenged[word] &= !mask;
            }
        });
        scavenged as usize
    }

    /// Makes pages that are in use free.
    #[inline]
    pub(super) fn give(&mut self, from: usize, pages: usize, scavenged: bool) {
        let scavenged = if scavenged { u64::MAX } else { 0 };
        words(from, pages, |word, mask| {
            debug_assert!(self.free[word] & mask == 0);
            self.free[word] |= mask;
            self.scavenged[word] |= mask & scavenged;
        });
    }

    /// How many of these pages are free.
    #[inline]
    pub(super) fn count_free(&self, from: usize, pages: usize) -> usize {
        let mut free = 0;
        words(from, pages, |word, mask| free += (self.free[word] & mask).count_ones());
        free as usize
    }

    /// Whether one of these pages is free.
    #[inline]
    pub(super) fn is_any_free(&self, from: usize, pages: usize) -> bool {
        let mut free = 0;
        words(from, pages, |word, mask| free |= self.free[word] & mask);
        free != 0
    }

    /// The lowest of these pages that is free.
    pub(super) fn first_free(&self, from: usize, pages: usize) -> Option<usize> {
        let mut first = None;
        words(from, pages, |word, mask| {
            let found = self.free[word] & mask;
            if first.is_none() && found != 0 {
                first = Some(word * 64 + found.trailing_zeros() as usize);
            }
        });
        first
    }

    /// The highest of these pages that is in use.
    pub(super) fn last_in_use(&self, from: usize, pages: usize) -> Option<usize> {
        let mut last = None;
        words(from, pages, |word, mask| {
            let found = !self.free[word] & mask;
            if found != 0 {
                last = Some(word * 64 + 63 - found.leading_zeros() as usize);
            }
        });
        last
    }

    /// The chunk's free and released pages.
    pub(super) fn counts(&self) -> (usize, usize) {
        let ones = |words: &[u64]| words.iter().map(|word| word.count_ones() as usize).sum();
        (ones(&self.free), ones(&self.scavenged))
    }

    /// The lowest start, not below `from`, of `pages` adjacent free pages that lie wholly in this chunk.
    #[inline]
    pub(super) fn find(&self, from: usize, pages: usize) -> Option<usize> {
        debug_assert!(pages >= 1 && from < CHUNK_PAGES);
        let first_word = from / 64;
        let mut keep = u64::MAX << (from % 64);
        // The free run that reaches up to the current word.
        let mut tail = 0;
        for word in first_word..CHUNK_WORDS {
            let free = self.free[word & WORD] & keep;
            keep = u64::MAX;
            if free == 0 {
                tail = 0;
                continue;
            }
            let low = free.trailing_ones() as usize;
            if tail + low >= pages {
                return Some(word * 64 - tail);
            }
            if low == 64 {
                tail += 64;
                continue;
            }
            if pages <= 64 {
                if let Some(at) = find_run(free, pages) {
                    return Some(word * 64 + at);
                }
            }
            tail = free.leading_ones() as usize;
        }
        None
    }

    /// The length of the free run that ends just below page `page`.
    #[inline]
    fn free_below(&self, page: usize) -> usize {
        let mut at = page;
        while at > 0 {
            let word = (at - 1) / 64;
            let above = 63 - (at - 1) % 64;
            let ones = ((self.free[word & WORD] << above).leading_ones() as usize).min(at - word * 64);
            at -= ones;
            if at > word * 64 {
                break;
            }
        }
        page - at
    }

    /// The length of the free run that starts at page `page`.
    #[inline]
    fn free_from(&self, page: usize) -> usize {
        let mut at = page;
        while at < CHUNK_PAGES {
            let word = at / 64;
            at += (self.free[word & WORD] >> (at % 64)).trailing_ones() as usize;
            if at < (word + 1) * 64 {
                break;
            }
        }
        at - page
    }

    /// The chunk's summary after pages `from..from + pages` have become free (`freed`) or have been taken; `old` is the
    /// summary before. Equal to [`summary`](Self::summary), but looks only at the pages around, unless the longest run may
    /// have shrunk.
    #[inline]
    pub(super) fn summary_after(&self, old: Summary, from: usize, pages: usize, freed: bool) -> Summary {
        let (start, max, end) = old.fields();
        let to = from + pages;
        // The run at an end of the chunk may reach up to the pages in question. Then its length spares a look at the bits.
        let reached_below = start >= from;
        let reached_above = end >= CHUNK_PAGES - to;
        let below = if reached_below { from } else { self.free_below(from) };
        let above = if reached_above { CHUNK_PAGES - to } else { self.free_from(to) };
        let joined = below + pages + above;
        if freed {
            let start = if reached_below { joined } else { start };
            let end = if reached_above { joined } else { end };
            return Summary::new(start, if joined > max { joined } else { max }, end);
        }
        let rest = below.max(above);
        let max = if joined < max {
            max
        } else if rest * 2 >= CHUNK_PAGES {
            // Any other run is shorter.
            rest
        } else {
            // Often there is another run as long.
            self.longest(joined)
        };
        Summary::new(if reached_below { from } else { start }, max, if reached_above { CHUNK_PAGES - to } else { end })
    }

    /// The longest free run. The caller knows that no run is longer than `most`.
    #[inline]
    fn longest(&self, most: usize) -> usize {
        let mut max = 0;
        // The free run that reaches up to the current word.
        let mut tail = 0;
        for &free in &self.free {
            if free == 0 {
                max = if tail > max { tail } else { max };
                tail = 0;
                continue;
            }
            let low = free.trailing_ones() as usize;
            tail += low;
            if low == 64 {
                continue;
            }
            max = if tail > max { tail } else { max };
            tail = free.leading_ones() as usize;
            // At least two pages in use, which end the runs at the word's ends, lie between these runs.
            if low + tail + 2 + max < 64 {
                max = longest_run(free, max);
            }
            if max >= most {
                return max;
            }
        }
        if tail > max { tail } else { max }
    }

    /// The chunk's summary, computed from its bits.
    #[inline]
    pub(super) fn summary(&self) -> Summary {
        Summary::new(self.free_from(0), self.longest(CHUNK_PAGES), self.free_below(CHUNK_PAGES))
    }
}
