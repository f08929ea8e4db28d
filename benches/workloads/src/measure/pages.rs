//! The page optimum: the least memory that live objects need if nobody moves them.

use crate::block::Block;

use super::raw::Raw;

/// Room for the numbers of the OS pages that live objects are on.
pub struct Pages(Raw<u64>);

fn os_page_bytes() -> usize {
    // SAFETY: a query without side effects.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

impl Pages {
    /// Room for so many objects of at most a page, or of two pages' ends.
    pub fn with_room_for(objects: usize) -> Self {
        Pages(Raw::zeroed(2 * objects))
    }

    /// The bytes of all OS pages that hold a part of a live object, and the bytes of the live objects.
    pub fn optimum<'a>(&mut self, live: impl Iterator<Item = &'a Block>) -> (u64, u64) {
        let page = os_page_bytes();
        let (mut len, mut bytes_live, mut whole) = (0, 0, 0);
        for block in live.filter(|block| block.is_some()) {
            let (start, bytes) = block.range();
            bytes_live += bytes as u64;
            let (first, last) = (start / page, (start + bytes - 1) / page);
            // Nobody shares the pages in between, so counting them is enough.
            whole += (last - first).saturating_sub(1);
            for number in [first, last] {
                self.0[len] = number as u64;
                len += 1;
            }
        }
        self.0[..len].sort_unstable();
        let ends = self.0[..len].chunk_by(|a, b| a == b).count();
        (((ends + whole) * page) as u64, bytes_live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_counts_once() {
        let blocks = [Block::new(64), Block::new(64), Block::NONE];
        let (optimum, live) = Pages::with_room_for(3).optimum(blocks.iter());
        let page = os_page_bytes() as u64;
        assert_eq!(live, 128);
        assert!((page..=4 * page).contains(&optimum), "{optimum}");
    }

    #[test]
    fn large_objects_count_with_all_their_pages() {
        let page = os_page_bytes();
        let block = Block::new(10 * page);
        let (optimum, live) = Pages::with_room_for(1).optimum([&block].into_iter());
        assert_eq!(live, 10 * page as u64);
        assert!(optimum == live || optimum == live + page as u64, "{optimum}");
    }
}
