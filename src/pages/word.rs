//! Tricks on one 64-bit word of a bitmap. Each has a bit-by-bit twin in the tests.
//!
//! Locks: none.
#![forbid(unsafe_code)]

/// A mask of `len` bits from bit `from` up; `1 <= len` and `from + len <= 64`.
#[inline]
pub(super) const fn mask(from: usize, len: usize) -> u64 {
    debug_assert!(len >= 1 && from + len <= 64);
    // The `& 63` costs nothing (shifts take their count modulo 64 anyway) and tells the compiler there is no overflow.
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
    // Within a group: adding "all but the highest bit" carries into the highest bit exactly if one of the lower bits is
    // set, and never beyond the group because the highest bit is left out of the sum.
    let marked = (((word & !highest) + (highest - lowest)) | word) & highest;
    // Spread each mark over its group: highest - lowest gives the bits below the mark without a borrow between groups.
    marked | (marked - (marked >> (group - 1)))
}

/// Whether the word holds `len` adjacent set bits, as the word of places where such a run starts. `1 <= len <= 64`.
#[inline]
pub(super) const fn run_starts(mut word: u64, len: usize) -> u64 {
    debug_assert!(len >= 1 && len <= 64);
    // `word` has a bit where a run of `have` bits starts; each step at most doubles `have`.
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

/// The longest run of set bits in the word if it is longer than `known`, else `known`.
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
