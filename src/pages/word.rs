//! Searches within one 64-bit word of a bitmap. The tests hold each function against a twin that goes bit by bit.
//!
//! Locks: none.
#![forbid(unsafe_code)]

/// A mask of `len` bits from bit `from` up; `1 <= len` and `from + len <= 64`.
#[inline]
pub(super) const fn mask(from: usize, len: usize) -> u64 {
    debug_assert!(len >= 1 && from + len <= 64);
    // The `& 63` costs nothing, since the processor takes shift counts modulo 64 anyway. It spares the overflow check.
    (u64::MAX >> ((64 - len) & 63)) << (from & 63)
}

/// Sets every bit of each aligned group of `group` bits that holds a set bit. `group` is a power of two up to 64.
#[inline]
pub(super) const fn fill_aligned(word: u64, group: usize) -> u64 {
    debug_assert!(group.is_power_of_two() && group <= 64);
    // The lowest bit of each group.
    let lowest: u64 = match group {
        1 => return word,
        2 => 0x5555_5555_5555_5555,
        4 => 0x1111_1111_1111_1111,
        8 => 0x0101_0101_0101_0101,
        16 => 0x0001_0001_0001_0001,
        32 => 0x0000_0001_0000_0001,
        _ => 1,
    };
    let highest = lowest << (group - 1);
    // Within a group, the sum with "all but the highest bit" carries into the highest bit exactly if a lower bit is set. The
    // highest bit itself is left out of the sum, so nothing carries beyond the group.
    let marked = (((word & !highest) + (highest - lowest)) | word) & highest;
    // Each mark spreads over its group: the mark less the group's lowest bit is all bits below the mark, and borrows from
    // no other group.
    marked | (marked - (marked >> (group - 1)))
}

/// The places where `len` adjacent set bits start, each as a set bit. `1 <= len <= 64`.
#[inline]
pub(super) const fn run_starts(mut word: u64, len: usize) -> u64 {
    debug_assert!(len >= 1 && len <= 64);
    // A bit of `word` is set where a run of `have` bits starts. Each step at most doubles `have`.
    let mut have = 1;
    while have < len {
        let step = if have < len - have { have } else { len - have };
        word &= word >> step;
        have += step;
    }
    word
}

/// The lowest place where `len` adjacent set bits start. `1 <= len <= 64`.
#[inline]
pub(super) const fn find_run(word: u64, len: usize) -> Option<usize> {
    let starts = run_starts(word, len);
    if starts == 0 { None } else { Some(starts.trailing_zeros() as usize) }
}

/// The length of the longest run of set bits in the word, or `known` if no run is longer than `known`.
#[inline]
pub(super) const fn longest_run(word: u64, known: usize) -> usize {
    if known >= 64 {
        return known;
    }
    let mut starts = run_starts(word, known + 1);
    let mut longest = known;
    while starts != 0 {
        longest += 1;
        starts &= starts >> 1;
    }
    longest
}
