//! The operations that a program for the model consists of, and how bytes encode them.
//!
//! Locks: none.

use crate::units::CHUNK_PAGES;

/// Bytes that encode one operation.
pub const OP_BYTES: usize = 8;

/// One operation. The model reduces places and choices to what exists, and skips an operation that makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Take the lowest run of this length.
    Alloc(usize),
    /// Take the lowest run of this length that is aligned (log2).
    AllocAligned(usize, u32),
    /// Take the lowest run at or above this place (first) of this length (second).
    AllocAbove(usize, usize),
    /// Take the run at this place (first) of this length (second).
    AllocExact(usize, usize),
    /// Take the run of this length (second) just above a run that was taken: growth in place.
    Extend(usize, usize),
    /// Free a run that was taken.
    Free(usize),
    /// Free a run that was taken, as released.
    FreeScavenged(usize),
    /// Free part of a run that was taken.
    FreePart(usize, usize, usize),
    /// Free a run of which a page is free already, or is not the heap's.
    Misuse(usize, usize),
    /// Map so many chunks (second) from this chunk of the model up.
    Grow(usize, usize),
    /// Take a page cache.
    TakeCache,
    /// Take a page cache of the block at this place, if so many of its pages are retained.
    TakeCacheAt(usize, usize),
    /// Take a run from a page cache.
    CacheAlloc(usize, usize),
    /// Give a page cache back.
    ReturnCache(usize),
    /// Take a candidate: chunk of the model, from page, log2 of the minimum, maximum, log2 of the huge page's pages.
    AllocCandidate(usize, usize, u32, usize, u32),
    /// Give a candidate back as released.
    Released(usize),
}

impl Op {
    /// The operation that these bytes encode; all bytes encode one.
    pub fn decode(bytes: [u8; OP_BYTES]) -> Self {
        let [code, a, b, c, d, e, f, _] = bytes.map(usize::from);
        let (ab, cd) = (a << 8 | b, c << 8 | d);
        let pages = match e % 6 {
            0 => 1,
            1 => 1 + c % 16,
            2 => 1 + c % 70,
            3 => 60 + c % 10,
            4 => 500 + c % 40,
            _ => cd % 4000,
        };
        match code % 36 {
            0..=6 => Self::Alloc(pages),
            7 => Self::AllocAligned(pages, (f % 13) as u32),
            8 => Self::AllocExact(ab, pages),
            9 => Self::Extend(a, pages),
            10..=14 => Self::Free(a),
            15..=16 => Self::FreeScavenged(a),
            17..=20 => Self::FreePart(a, cd, pages),
            21 => Self::Misuse(ab, pages),
            22 => Self::Grow(a, 1 + b % 4),
            23..=24 => Self::TakeCache,
            25..=26 => Self::CacheAlloc(a, 1 + b % 16),
            27 => Self::ReturnCache(a),
            28..=29 => Self::AllocCandidate(a, cd % CHUNK_PAGES, (b % 7) as u32, pages, (f % 10) as u32),
            30..=31 => Self::Released(a),
            32..=33 => Self::AllocAbove(ab, pages),
            _ => Self::TakeCacheAt(ab, 1 + c % 20),
        }
    }
}
