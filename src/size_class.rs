//! Size classes: which slot size serves a layout.
//!
//! The class of a constant layout folds to a constant. The class of any other layout costs a few instructions: one test
//! covers size and alignment together, and one table look-up does the rest. The rule stands in `build.rs`, which also
//! generates the figures of each class.
//!
//! Invariants:
//! 1. A class's slot is at least as large as any layout of the class, and a multiple of the layout's alignment.
//! 2. Slots are multiples of 8 bytes, and of 16 bytes for sizes up to 8.
//! 3. Where classes are more than 8 bytes apart, the waste inside a slot is below one ninth of the slot.
//!
//! Locks: none. This module never touches memory.
#![forbid(unsafe_code)]

/// The number of size classes. Two are enough for a model.
pub const CLASSES: usize = if cfg!(loom) { 2 } else { GENERATED.len() };
/// The largest size that has a class. A larger object gets a span of its own.
pub const MAX_SMALL_BYTES: usize = if cfg!(loom) { 8192 } else { 32 * 1024 };

/// Whether C's frees come here: in libneap, and in binaries that export the names of C's functions.
pub const SERVES_C: bool = cfg!(serves_c);

/// The last split class, if any class is split. Where C's frees come here, it is the class for 512 bytes.
const LAST_SPLIT: Option<usize> = if cfg!(loom) {
    Some(0)
} else if SERVES_C {
    Some(31)
} else {
    None
};

/// Whether the class is split: whether a free by address goes onto the spare magazine. An allocation that follows then does
/// not wait for the free's stores. Classes of larger slots are not split, because their magazines have too few slots.
#[inline]
pub const fn is_split(class: usize) -> bool {
    matches!(LAST_SPLIT, Some(last) if class <= last)
}

/// A size class's figures.
#[derive(Clone, Copy, Debug)]
pub struct ClassInfo {
    /// Bytes in a slot.
    pub slot_bytes: u32,
    /// Pages in a span.
    pub span_pages: u32,
    /// Slots in a span.
    pub slots: u32,
    /// Slots in a full magazine.
    pub magazine_slots: u32,
    /// The alignment of a span in pages.
    pub span_align_pages: u32,
    /// 2^32 divided by the slot size, rounded up. A multiplication by it turns an offset into a slot number.
    pub reciprocal: u64,
}

const GENERATED: [ClassInfo; 80] = include!(concat!(env!("OUT_DIR"), "/size_classes.rs"));

/// Every class, smallest slot first.
#[cfg(not(loom))]
pub const TABLE: [ClassInfo; CLASSES] = GENERATED;

/// Two classes with few and large slots, so that a model fills a span or a magazine in a few steps.
#[cfg(loom)]
pub const TABLE: [ClassInfo; CLASSES] = [
    ClassInfo {
        magazine_slots: 2,
        slots: 4,
        slot_bytes: 4096,
        span_pages: 2,
        span_align_pages: 1,
        reciprocal: 1 << 20,
    },
    ClassInfo {
        magazine_slots: 2,
        slots: 2,
        slot_bytes: 8192,
        span_pages: 2,
        span_align_pages: 1,
        reciprocal: 1 << 19,
    },
];

/// A class's figures. A static would lie behind the GOT in another crate; the out-of-line code that calls this uses a
/// promoted constant.
#[inline]
pub fn info(class: usize) -> &'static ClassInfo {
    const { &TABLE }.get(class).unwrap_or(&const { TABLE[0] })
}

/// The class of a layout, or `None` if the layout needs a span of its own. A size of 0 has no class here.
#[inline(always)]
pub const fn class_of(size: usize, align: usize) -> Option<usize> {
    let s = size.wrapping_sub(1) | (align - 1);
    if s >= MAX_SMALL_BYTES {
        return None;
    }
    Some(CLASS_BY_STEP[s / STEP_BYTES] as usize)
}

/// The class of a size at C's alignment, which is [`C_ALIGN`] whatever the size.
#[cfg(serves_c)]
#[inline(always)]
pub const fn class_of_c(size: usize) -> Option<usize> {
    let s = size.wrapping_sub(1);
    if s >= MAX_SMALL_BYTES {
        return None;
    }
    Some(CLASS_BY_C_STEP[s / C_ALIGN] as usize)
}

/// The number of the magazine that a free goes onto, computed from the class plus 1 (0 stands for "no class"). The number of
/// a class's loaded magazine is the class plus 1. The numbers of the spare magazines follow those of the loaded ones.
#[cfg(serves_c)]
#[inline]
pub const fn push_number(class_number: u8) -> u8 {
    match (class_number as usize).checked_sub(1) {
        Some(class) if is_split(class) => class_number + CLASSES as u8,
        _ => class_number,
    }
}

/// The alignment of C's memory where the caller asks for none in particular: that of `max_align_t`.
#[cfg(serves_c)]
pub const C_ALIGN: usize = 16;

/// The classes at C's alignment. The table is half as long as [`CLASS_BY_STEP`], and its look-up needs no instruction for the
/// alignment.
#[cfg(serves_c)]
const CLASS_BY_C_STEP: [u8; MAX_SMALL_BYTES / C_ALIGN] = {
    let mut table = [0; MAX_SMALL_BYTES / C_ALIGN];
    let mut step = 0;
    while step < table.len() {
        table[step] = class_by_rule(step * C_ALIGN + (C_ALIGN - 1));
        step += 1;
    }
    table
};

/// All sizes in a step of this many bytes have the same class.
const STEP_BYTES: usize = if cfg!(loom) { 4096 } else { 8 };

/// The rule as a table. A look-up takes fewer instructions than the rule's arithmetic, and none of them is a bit scan, which
/// is slow on several processors. The table is a constant, so a look-up with a constant layout folds in any crate. A program
/// touches only the table's lines for the sizes it uses.
const CLASS_BY_STEP: [u8; MAX_SMALL_BYTES / STEP_BYTES] = {
    let mut table = [0; MAX_SMALL_BYTES / STEP_BYTES];
    let mut step = 0;
    while step < table.len() {
        table[step] = class_by_rule(step * STEP_BYTES);
        step += 1;
    }
    table
};

/// The rule of `build.rs`, for `s = (size - 1) | (align - 1)`.
const fn class_by_rule(s: usize) -> u8 {
    if cfg!(loom) {
        return (s / STEP_BYTES) as u8;
    }
    let k = (s | 64).ilog2();
    (8 * k as usize + (s >> (k - 3)) - 48) as u8
}

impl ClassInfo {
    /// The number of the slot that starts `offset` bytes into a span, if a slot starts there.
    #[inline]
    pub const fn slot_at(&self, offset: usize) -> Option<usize> {
        let Some(number) = self.number_at(offset) else { return None };
        if number < self.slots as usize { Some(number) } else { None }
    }

    /// The same for a caller that knows the offset to be below the end of the last slot. Only a multiple of the slot size
    /// leaves a fraction below the reciprocal (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019).
    #[inline]
    pub const fn number_at(&self, offset: usize) -> Option<usize> {
        let product = offset as u64 * self.reciprocal;
        if (product as u32 as u64) < self.reciprocal { Some((product >> 32) as usize) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::PAGE_BYTES;

    /// The slow twin: the first class whose slot is large enough and a multiple of the alignment.
    fn class_by_search(size: usize, align: usize) -> Option<usize> {
        if align > MAX_SMALL_BYTES {
            return None;
        }
        let rounded = size.next_multiple_of(align);
        let first = (rounded > 8 || align > 8) as usize;
        (first..CLASSES)
            .find(|&c| TABLE[c].slot_bytes as usize >= rounded && TABLE[c].slot_bytes as usize % align.max(1) == 0)
    }

    #[test]
    fn every_size_and_alignment_finds_the_class_the_search_finds() {
        for align_shift in 0..=16 {
            let align = 1usize << align_shift;
            for size in 1..=MAX_SMALL_BYTES + 64 {
                assert_eq!(class_of(size, align), class_by_search(size, align), "size {size} align {align}");
            }
        }
        assert_eq!(class_of(0, 1), None);
        assert_eq!(class_of(usize::MAX, 1), None);
        assert_eq!(class_of(1, 1 << 63), None);
    }

    #[cfg(serves_c)]
    #[test]
    fn the_class_of_a_size_in_c_is_that_of_its_layout() {
        for size in (0..=MAX_SMALL_BYTES + 64).chain([usize::MAX]) {
            assert_eq!(class_of_c(size), class_of(size, C_ALIGN), "size {size}");
        }
    }

    #[test]
    fn classes_up_to_512_bytes_are_split_where_c_is_served() {
        for (class, info) in TABLE.iter().enumerate() {
            assert_eq!(is_split(class), SERVES_C && info.slot_bytes <= 512, "{info:?}");
        }
    }

    #[cfg(serves_c)]
    #[test]
    fn a_free_goes_onto_the_spare_magazine_of_a_split_class_and_else_onto_the_loaded_one() {
        assert_eq!(push_number(0), 0);
        for class in 0..CLASSES {
            let loaded = class + 1;
            let spare = loaded + CLASSES;
            assert_eq!(push_number(loaded as u8) as usize, if is_split(class) { spare } else { loaded });
        }
    }

    #[test]
    fn waste_inside_a_slot_is_bounded() {
        for size in 1..=MAX_SMALL_BYTES {
            let slot = TABLE[class_of(size, 1).unwrap()].slot_bytes as usize;
            let waste = slot - size;
            assert!(slot == 16 || waste <= 7 || waste * 9 < slot, "size {size} slot {slot}");
        }
    }

    #[test]
    fn spans_fit_their_slots_with_little_tail_waste() {
        for class in TABLE {
            let bytes = class.span_pages as usize * PAGE_BYTES;
            let used = class.slots as usize * class.slot_bytes as usize;
            assert!(used <= bytes && bytes - used <= bytes / 8, "{class:?}");
            assert!(class.slots as usize <= (class.span_pages as usize - 1) * 512, "{class:?}");
            assert!(class.span_pages <= 16, "{class:?}");
        }
    }

    #[test]
    fn slots_are_aligned_as_their_size_promises() {
        for class in TABLE {
            let natural = 1usize << class.slot_bytes.trailing_zeros();
            assert!(natural <= class.span_align_pages as usize * PAGE_BYTES, "{class:?}");
        }
    }

    #[test]
    fn slot_numbers_by_multiplication_equal_division_at_every_offset() {
        for class in TABLE {
            for offset in 0..class.span_pages as usize * PAGE_BYTES {
                let slot = class.slot_bytes as usize;
                let slow = (offset % slot == 0 && offset / slot < class.slots as usize).then_some(offset / slot);
                assert_eq!(class.slot_at(offset), slow, "{class:?} offset {offset}");
            }
        }
    }
}
