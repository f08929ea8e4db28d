//! Holes: the OS pages of a partly used span that hold no live slot, found by bit arithmetic on the span's free bitmap.
//!
//! A slot may lie across two OS pages. So an OS page is free only if every slot that touches it is free, and the release of a
//! page makes all of these slots unavailable for a moment. Bytes behind the last slot hold nothing and are never touched.
//!
//! The span's base must be aligned to an OS page. Where OS pages are larger than heap pages it need not be, and the caller
//! leaves holes alone.
//!
//! Locks: none. Pure functions on the words that they are given.
#![forbid(unsafe_code)]

use crate::size_class::ClassInfo;

/// The OS pages that `bytes` from `offset` on touch, one bit for each page from the span's first.
pub fn page_mask(offset: usize, bytes: usize, os_page_bytes: usize) -> u64 {
    let first = offset / os_page_bytes;
    let last = (offset + bytes - 1) / os_page_bytes;
    (u64::MAX >> (63 - (last - first))) << first
}

/// The slots that touch an OS page: the first, and the end.
fn slots_of_page(class: &ClassInfo, page: usize, os_page_bytes: usize) -> (usize, usize) {
    let (slot, slots) = (class.slot_bytes as usize, class.slots as usize);
    let first = page * os_page_bytes / slot;
    let end = ((page + 1) * os_page_bytes).div_ceil(slot);
    (first.min(slots), end.min(slots))
}

/// Calls `visit` with the index of each word and the mask of the word's bits in `first..end`.
fn words(first: usize, end: usize, mut visit: impl FnMut(usize, u64)) {
    let mut at = first;
    while at < end {
        let stop = (at / 64 + 1) * 64;
        let stop = if stop < end { stop } else { end };
        visit(at / 64, (u64::MAX >> (64 - (stop - at))) << (at % 64));
        at = stop;
    }
}

/// The OS pages whose slots are all free, one bit for each page.
pub fn free_pages(bitmap: &[u64], class: &ClassInfo, os_page_bytes: usize) -> u64 {
    let bytes = class.slots as usize * class.slot_bytes as usize;
    let mut pages = 0;
    for page in 0..bytes.div_ceil(os_page_bytes) {
        let (first, end) = slots_of_page(class, page, os_page_bytes);
        let mut free = first < end;
        words(first, end, |word, mask| free &= bitmap[word] & mask == mask);
        pages |= (free as u64) << page;
    }
    pages
}

fn each_page(mut pages: u64, mut visit: impl FnMut(usize)) {
    while pages != 0 {
        visit(pages.trailing_zeros() as usize);
        pages &= pages - 1;
    }
}

/// Clears the bits of all slots that touch `pages`. Returns how many of them were set.
pub fn clear_slots(bitmap: &mut [u64], class: &ClassInfo, os_page_bytes: usize, pages: u64) -> usize {
    let mut cleared = 0;
    each_page(pages, |page| {
        let (first, end) = slots_of_page(class, page, os_page_bytes);
        words(first, end, |word, mask| {
            cleared += (bitmap[word] & mask).count_ones() as usize;
            bitmap[word] &= !mask;
        });
    });
    cleared
}

/// Sets the bits of all slots that touch `pages`. Returns how many of them were clear.
pub fn set_slots(bitmap: &mut [u64], class: &ClassInfo, os_page_bytes: usize, pages: u64) -> usize {
    let mut set = 0;
    each_page(pages, |page| {
        let (first, end) = slots_of_page(class, page, os_page_bytes);
        words(first, end, |word, mask| {
            set += (!bitmap[word] & mask).count_ones() as usize;
            bitmap[word] |= mask;
        });
    });
    set
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::size_class::TABLE;
    use proptest::prelude::*;

    /// The slow twin: looks at the slot of every byte.
    fn free_pages_by_byte(free: &[bool], class: &ClassInfo, os_page_bytes: usize) -> u64 {
        let bytes = class.slots as usize * class.slot_bytes as usize;
        let mut pages = 0;
        for page in 0..bytes.div_ceil(os_page_bytes) {
            let range = page * os_page_bytes..((page + 1) * os_page_bytes).min(bytes);
            if range.into_iter().all(|byte| free[byte / class.slot_bytes as usize]) {
                pages |= 1 << page;
            }
        }
        pages
    }

    proptest! {
        #[test]
        fn free_pages_equal_the_bytewise_search(
            class in 0..TABLE.len(), used in prop::collection::vec(any::<prop::sample::Index>(), 0..40)
        ) {
            let class = &TABLE[class];
            let slots = class.slots as usize;
            let mut free = std::vec![true; slots];
            for index in used {
                free[index.index(slots)] = false;
            }
            let mut bitmap = std::vec![0u64; slots.div_ceil(64)];
            for (slot, _) in free.iter().enumerate().filter(|(_, free)| **free) {
                bitmap[slot / 64] |= 1 << (slot % 64);
            }
            for os_page in [4096, 8192] {
                let pages = free_pages(&bitmap, class, os_page);
                prop_assert_eq!(pages, free_pages_by_byte(&free, class, os_page));
                let before = bitmap.clone();
                let cleared = clear_slots(&mut bitmap, class, os_page, pages);
                for slot in 0..slots {
                    let mask = page_mask(slot * class.slot_bytes as usize, class.slot_bytes as usize, os_page);
                    let is_set = bitmap[slot / 64] >> (slot % 64) & 1 == 1;
                    prop_assert_eq!(is_set, free[slot] && mask & pages == 0);
                }
                prop_assert_eq!(set_slots(&mut bitmap, class, os_page, pages), cleared);
                prop_assert_eq!(&bitmap, &before);
            }
        }
    }
}
