//! Page caches: which block they come from, what they hold, how they go back.

use super::support::{Heap, Numbers, taken};
use crate::pages::{CACHE_PAGES, CACHE_RUN_LIMIT, Fault, FaultKind, PageCache};
use crate::units::{CHUNK_PAGES, Page, ROOT_CHUNKS, Run};

const P: usize = CHUNK_PAGES;
const BASE: usize = 2 * ROOT_CHUNKS - 1;
const B: usize = BASE * P;

fn run(first: usize, pages: usize) -> Run {
    Run { first: Page(first), pages }
}

#[test]
fn all_free_then_block_after_block() {
    let mut heap = Heap::with(&[(BASE, 2)]);
    for block in 0..2 * P / CACHE_PAGES {
        let base = Page(B + block * CACHE_PAGES);
        assert_eq!(heap.take_cache(), Some(PageCache { base, free: u64::MAX, scavenged: u64::MAX }));
        heap.validate().unwrap();
    }
    assert_eq!(heap.take_cache(), None);
    assert_eq!(heap.alloc(1), None);
    assert_eq!((heap.free_pages(), heap.scavenged_pages()), (0, 0));
}

#[test]
fn partly_used_blocks() {
    let mut heap = Heap::with(&[(BASE, 2), (BASE + 14, 1)]);
    heap.claim(B, 2 * P);
    heap.claim(B + 14 * P, P);
    // Low bit, high bit, both with a hole that is in use, one released and one not.
    let free = |heap: &mut Heap, page: usize, scavenged: bool| {
        if scavenged { heap.free_scavenged(run(page, 1)).unwrap() } else { heap.free(run(page, 1)).unwrap() }
    };
    free(&mut heap, B, false);
    free(&mut heap, B + 127, true);
    free(&mut heap, B + 130, true);
    free(&mut heap, B + 191, false);
    free(&mut heap, B + 14 * P + 511, true);
    heap.validate().unwrap();
    for (base, free, scavenged) in [
        (B, 1, 0),
        (B + 64, 1 << 63, 1 << 63),
        (B + 128, 1 << 2 | 1 << 63, 1 << 2),
        (B + 14 * P + 448, 1 << 63, 1 << 63),
    ] {
        assert_eq!(heap.take_cache(), Some(PageCache { base: Page(base), free, scavenged }));
        heap.validate().unwrap();
    }
    assert_eq!(heap.take_cache(), None);
}

#[test]
fn returning_restores_both_bitmaps() {
    let mut numbers = Numbers(7);
    for _ in 0..200 {
        let mut heap = Heap::with(&[(BASE, 1)]);
        heap.claim(B, P);
        for page in 0..CACHE_PAGES {
            match numbers.below(3) {
                0 => heap.free(run(B + page, 1)).unwrap(),
                1 => heap.free_scavenged(run(B + page, 1)).unwrap(),
                _ => {}
            }
        }
        let before = (heap.free_pages(), heap.scavenged_pages());
        let Some(cache) = heap.take_cache() else {
            continue;
        };
        assert_eq!((heap.free_pages(), heap.scavenged_pages()), (0, 0));
        assert_eq!((cache.free_pages(), cache.scavenged_pages()), before);
        heap.validate().unwrap();
        heap.return_cache(cache).unwrap();
        heap.validate().unwrap();
        assert_eq!((heap.free_pages(), heap.scavenged_pages()), before);
        assert_eq!(heap.take_cache(), Some(cache));
    }
}

#[test]
fn released_pages_in_use_are_not_released_again_by_a_cache() {
    let mut heap = Heap::with(&[(BASE, 1)]);
    // Two released pages come into use; what is left of the block is released.
    assert_eq!(heap.alloc(2), taken(B, 2, 2));
    let cache = heap.take_cache().unwrap();
    assert_eq!((cache.free, cache.scavenged), (u64::MAX << 2, u64::MAX << 2));
    heap.return_cache(cache).unwrap();
    heap.free(run(B, 2)).unwrap();
    assert_eq!((heap.free_pages(), heap.scavenged_pages()), (P, P - 2));
    assert_eq!(heap.alloc(P), taken(B, P, P - 2));
}

#[test]
fn serving_runs() {
    let full = PageCache { base: Page(B), free: u64::MAX, scavenged: 0b1010 };
    let mut cache = full;
    assert_eq!(cache.alloc(3), taken(B, 3, 1));
    assert_eq!(cache.alloc(1), taken(B + 3, 1, 1));
    assert_eq!(cache.alloc(60), taken(B + 4, 60, 0));
    assert!(cache.is_empty());
    assert_eq!(cache.alloc(1), None);
    let mut cache = full;
    assert_eq!(cache.alloc(0), None);
    assert_eq!(cache.alloc(65), None);
    assert_eq!(cache.alloc(64), taken(B, 64, 2));
    let mut cache = PageCache { base: Page(B), free: 0b1011_1000_0111_0110, scavenged: 0b0001_0000_0000_0000 };
    assert_eq!(cache.alloc(4), None);
    assert_eq!(cache.alloc(3), taken(B + 4, 3, 0));
    assert_eq!(cache.alloc(3), taken(B + 11, 3, 1));
    assert_eq!(cache.alloc(2), taken(B + 1, 2, 0));
    assert_eq!(cache.alloc(1), taken(B + 15, 1, 0));
    assert!(cache.is_empty() && cache.scavenged == 0);
    assert_eq!(PageCache::default().alloc(1), None);
    const { assert!(CACHE_RUN_LIMIT == 16) };
}

#[test]
fn every_served_run_was_in_the_cache() {
    let mut numbers = Numbers(8);
    for _ in 0..500 {
        let free = numbers.next() | numbers.next();
        let mut cache = PageCache { base: Page(B), free, scavenged: free & numbers.next() };
        while !cache.is_empty() {
            let before = cache;
            let pages = 1 + numbers.below(CACHE_RUN_LIMIT);
            let Some(taken) = cache.alloc(pages) else {
                let slow = (0..=64 - pages).any(|at| (at..at + pages).all(|page| free_bit(before.free, page)));
                assert!(!slow && cache == before);
                cache.alloc(1).unwrap();
                continue;
            };
            let at = taken.run.first.0 - B;
            assert!((at..at + pages).all(|page| free_bit(before.free, page) && !free_bit(cache.free, page)));
            let scavenged = (at..at + pages).filter(|&page| free_bit(before.scavenged, page)).count();
            assert_eq!(taken.scavenged_pages, scavenged);
            assert_eq!(cache.scavenged & !cache.free, 0);
            assert_eq!(cache.free_pages() + pages, before.free_pages());
        }
    }
}

fn free_bit(word: u64, at: usize) -> bool {
    word >> at & 1 != 0
}

#[test]
fn wrong_caches_are_refused() {
    let mut heap = Heap::with(&[(BASE, 1)]);
    let cache = heap.take_cache().unwrap();
    heap.return_cache(cache).unwrap();
    assert_eq!(heap.return_cache(cache), Err(Fault { kind: FaultKind::DoubleFree, page: cache.base }));
    let elsewhere = PageCache { base: Page(B + P), ..cache };
    assert_eq!(heap.return_cache(elsewhere), Err(Fault { kind: FaultKind::NotMapped, page: Page(B + P) }));
    let crooked = PageCache { base: Page(B + 1), ..cache };
    assert_eq!(heap.return_cache(crooked), Err(Fault { kind: FaultKind::BadRun, page: Page(B + 1) }));
    heap.return_cache(PageCache::EMPTY).unwrap();
}

#[test]
fn a_block_that_was_named() {
    let mut heap = Heap::with(&[(BASE, 1)]);
    let block = B + 3 * CACHE_PAGES;
    // Nothing of it is backed, or too little.
    assert_eq!(heap.take_cache_at(Page(block), 1), None);
    heap.back(block + 60, 4);
    heap.back(block + 10, CACHE_RUN_LIMIT - 5);
    assert_eq!(heap.take_cache_at(Page(block), CACHE_RUN_LIMIT), None);
    heap.validate().unwrap();
    heap.back(block, 1);
    let scavenged = !(0xf << 60 | 0x7ff << 10 | 1);
    let cache = PageCache { base: Page(block), free: u64::MAX, scavenged };
    assert_eq!(heap.take_cache_at(Page(block), CACHE_RUN_LIMIT), Some(cache));
    heap.validate().unwrap();
    assert_eq!((heap.free_pages(), heap.scavenged_pages()), (P - CACHE_PAGES, P - CACHE_PAGES));
    // It is gone: neither that block again nor a run across it.
    assert_eq!(heap.take_cache_at(Page(block), 1), None);
    assert_eq!(heap.alloc(200), taken(block + CACHE_PAGES, 200, 200));
    heap.validate().unwrap();
    heap.return_cache(cache).unwrap();
    assert_eq!(heap.alloc(200), taken(B, 200, 199));
    // No chunk, no block.
    assert_eq!(heap.take_cache_at(Page(B + P), 1), None);
    assert_eq!(heap.take_cache_at(Page(0), 1), None);
}
