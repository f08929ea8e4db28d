//! Size classes: which slot size serves a layout.
//!
//! The class of a layout folds to a constant where the layout is one, and costs a few instructions where it is not: one
//! test covers size and alignment together, one table look-up does the rest. The rule is written down in `build.rs`,
//! which also generates each class's figures.
//!
//! Invariants:
//! 1. A class's slot is at least as large as any layout of the class and a multiple of its alignment.
//! 2. Slots are multiples of 16 bytes for sizes up to 8, and of 8 bytes at least everywhere.
//! 3. Beyond the steps of 8 bytes the waste inside a slot is below one ninth of the slot.
//!
//! Locks: none. This module never touches memory.
#![forbid(unsafe_code)]

/// How many size classes there are. Two are enough for a model.
pub const CLASSES: usize = if cfg!(loom) { 2 } else { GENERATED.len() };
/// The largest size that has a class (32 KiB); what is larger is a span of its own.
pub const MAX_SMALL_BYTES: usize = if cfg!(loom) { 8192 } else { 32 * 1024 };
/// The most slots a span can have: what the largest free bitmap holds.
pub const MAX_SLOTS: usize = 4096;

/// Whether C's frees come here: libneap, and binaries that export its names.
pub const SERVES_C: bool = cfg!(serves_c);

/// The last class that is split, if any is: the one for 512 bytes, where C's frees come here.
const LAST_SPLIT: Option<usize> = if cfg!(loom) {
    Some(0)
} else if SERVES_C {
    Some(31)
} else {
    None
};

/// Whether a free by address goes onto the spare magazine: an allocation that follows does not wait for its stores then
/// (see `heap::front`). Larger slots have too few to a magazine.
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
    /// 2^32 divided by the slot size, rounded up: turns an offset into a slot number by multiplication.
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

/// The classes as a static would be behind the GOT in another crate; out-of-line code uses this copy.
#[inline]
pub fn info(class: usize) -> &'static ClassInfo {
    const { &TABLE }.get(class).unwrap_or(&const { TABLE[0] })
}

/// The class of a layout, or `None` where the layout needs a span of its own. A size of 0 has no class here.
#[inline(always)]
pub const fn class_of(size: usize, align: usize) -> Option<usize> {
    let s = size.wrapping_sub(1) | (align - 1);
    if s >= MAX_SMALL_BYTES {
        return None;
    }
    Some(CLASS_BY_STEP[s / STEP_BYTES] as usize)
}

/// The same for C's alignment, which is [`C_ALIGN`] whatever the size.
#[cfg(serves_c)]
#[inline(always)]
pub const fn class_of_c(size: usize) -> Option<usize> {
    let s = size.wrapping_sub(1);
    if s >= MAX_SMALL_BYTES {
        return None;
    }
    Some(CLASS_BY_C_STEP[s / C_ALIGN] as usize)
}

/// Which of a thread's magazines a free goes onto, by number, from the class plus 1 (which is 0 for what has no class): the loaded
/// magazine's number is that itself, and the spares' follow (`thread_cache`).
#[cfg(serves_c)]
#[inline]
pub const fn push_number(class_number: u8) -> u8 {
    match (class_number as usize).checked_sub(1) {
        Some(class) if is_split(class) => class_number + CLASSES as u8,
        _ => class_number,
    }
}

/// The alignment of C's memory whose caller asks for none in particular: that of `max_align_t`.
#[cfg(serves_c)]
pub const C_ALIGN: usize = 16;

/// Half of [`CLASS_BY_STEP`], and no instruction for the alignment.
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

/// All sizes in a step of so many bytes have the same class.
const STEP_BYTES: usize = if cfg!(loom) { 4096 } else { 8 };

/// The rule's arithmetic as a table: three instructions instead of ten, none of them a bit scan (slow on several
/// processors). It is a constant, so that it folds where the layout is one, in any crate; a program touches the lines for
/// the sizes it uses. Measured against the arithmetic in the default release profile: 0.67 of the time for pairs of an
/// allocation and a free, 0.92 for random replacement.
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
    /// The number of the slot that starts `offset` bytes into a span, if one starts there.
    #[inline]
    pub const fn slot_at(&self, offset: usize) -> Option<usize> {
        let Some(number) = self.number_at(offset) else { return None };
        if number < self.slots as usize { Some(number) } else { None }
    }

    /// The same for who knows that the offset is less than that of the last slot's end. A multiple of the slot size leaves a
    /// fraction below the reciprocal (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019).
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
        (first..CLASSES).find(|&c| {
            TABLE[c].slot_bytes as usize >= rounded && (TABLE[c].slot_bytes as usize).is_multiple_of(align.max(1))
        })
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
            assert!(class.slots as usize <= MAX_SLOTS, "{class:?}");
            assert!(class.span_pages <= 16, "{class:?}");
            assert!((2..=crate::magazine::MAX_SLOTS).contains(&(class.magazine_slots as usize)), "{class:?}");
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
