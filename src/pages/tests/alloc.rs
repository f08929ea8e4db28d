//! Taking, freeing and growing: exact addresses and exact counts of released pages.

use std::vec::Vec;

use super::support::{Heap, recycle, root_memory, table, taken};
use crate::pages::{Fault, FaultKind, PageAllocator};
use crate::units::{CHUNK_PAGES, Chunk, Page, ROOT_CHUNKS, ROOT_PAGES_SHIFT, ROOTS, Run};

const P: usize = CHUNK_PAGES;
/// The lowest chunk that most tests map: in the middle of a root entry, with neighbours on both sides.
const BASE: usize = ROOT_CHUNKS + ROOT_CHUNKS / 2;
const B: usize = BASE * P;
const ROOT_PAGES: usize = 1 << ROOT_PAGES_SHIFT;

fn run(first: usize, pages: usize) -> Run {
    Run { first: Page(first), pages }
}

#[test]
fn nothing_and_too_much_cannot_be_allocated() {
    let mut heap = Heap::empty();
    assert_eq!(heap.alloc(1), None);
    assert_eq!(heap.high_chunk(), None);
    heap.map(BASE, 1);
    assert_eq!(heap.alloc(0), None);
    assert_eq!(heap.alloc(P + 1), None);
    assert_eq!(heap.alloc(usize::MAX), None);
    assert_eq!(heap.alloc_aligned(usize::MAX, 1 << 63), None);
    assert_eq!(heap.alloc_aligned(1, 0), None);
    assert_eq!(heap.alloc_aligned(0, 8), None);
    assert_eq!(heap.alloc_aligned(1, 3), None);
    assert_eq!(heap.alloc_exact(run(usize::MAX - 1, 5)), None);
    assert_eq!(heap.alloc(P), taken(B, P, P));
    assert_eq!(heap.alloc(1), None);
}

#[test]
fn allocations_of_each_size_lie_back_to_back_and_fail_on_exhaustion() {
    for pages in [1, 2, 5, 64, 65, P, P + 1, 2 * P, 7 * P + 5] {
        let mut heap = Heap::with(&[(BASE, 8)]);
        let mut at = B;
        while at + pages <= B + 8 * P {
            assert_eq!(heap.alloc(pages), taken(at, pages, pages));
            if pages > 64 {
                heap.validate().unwrap();
            }
            at += pages;
        }
        assert_eq!(heap.alloc(pages), None);
        let rest = B + 8 * P - at;
        if rest > 0 {
            assert_eq!(heap.alloc(rest), taken(at, rest, rest), "the remainder after runs of {pages}");
        }
        assert_eq!(heap.alloc(1), None);
        heap.validate().unwrap();
    }
}

#[test]
fn exhausting_four_chunks() {
    for pages in [1, 2, 3, 4, 5, 8, 16, 64, 1024, 1025, 2048, 2049] {
        let mut heap = Heap::with(&[(BASE, 4)]);
        for i in 0..4 * P / pages {
            assert_eq!(heap.alloc(pages), taken(B + i * pages, pages, pages));
        }
        assert_eq!(heap.alloc(pages), None);
        heap.validate().unwrap();
    }
}

#[test]
fn eight_chunks_three_times_over() {
    let mut heap = Heap::with(&[(BASE, 8)]);
    for round in 0..3 {
        for pages in [1, 2, 4, 8, 64, P, 8 * P] {
            let scavenged = if round == 0 && pages == 1 { pages } else { 0 };
            for i in 0..8 * P / pages {
                assert_eq!(heap.alloc(pages), taken(B + i * pages, pages, scavenged));
            }
            assert_eq!(heap.alloc(1), None);
            for i in 0..8 * P / pages {
                heap.free(run(B + i * pages, pages)).unwrap();
            }
            assert_eq!((heap.free_pages(), heap.scavenged_pages()), (8 * P, 0));
            heap.validate().unwrap();
        }
    }
}

#[test]
fn free_makes_holes_that_first_fit_finds_in_address_order() {
    let mut heap = Heap::with(&[(BASE, 4)]);
    heap.claim(B, 4 * P);
    for (first, pages) in [(B + 2, 1), (B + 100, 5), (B + P - 3, 6), (B + 2 * P - 32, 64 + 32), (B + 3 * P, P)] {
        heap.free(run(first, pages)).unwrap();
        heap.validate().unwrap();
    }
    assert_eq!(heap.alloc(6), taken(B + P - 3, 6, 0));
    assert_eq!(heap.alloc(4), taken(B + 100, 4, 0));
    assert_eq!(heap.alloc(1), taken(B + 2, 1, 0));
    assert_eq!(heap.alloc(96), taken(B + 2 * P - 32, 96, 0));
    assert_eq!(heap.alloc(1), taken(B + 104, 1, 0));
    assert_eq!(heap.alloc(P), taken(B + 3 * P, P, 0));
    assert_eq!(heap.alloc(1), None);
}

#[test]
fn a_free_below_joins_pages_that_were_too_few() {
    // 40 free pages are no run of 64, so the search address for such runs lies above them. 30 more pages just above make one.
    let mut heap = Heap::with(&[(BASE, 2)]);
    heap.claim(B, 2 * P);
    heap.free(run(B + P - 40, 40)).unwrap();
    assert_eq!(heap.alloc(64), None);
    heap.free(run(B + P, 30)).unwrap();
    heap.validate().unwrap();
    assert_eq!(heap.alloc(64), taken(B + P - 40, 64, 0));
    // The other way round.
    heap.free(run(B + 10, 30)).unwrap();
    assert_eq!(heap.alloc(40), None);
    heap.free(run(B, 10)).unwrap();
    assert_eq!(heap.alloc(40), taken(B, 40, 0));
}

#[test]
fn runs_cross_roots() {
    let first = 2 * ROOT_CHUNKS - 1;
    let mut heap = Heap::with(&[(first, ROOT_CHUNKS + 2)]);
    heap.claim(first * P, 10);
    assert_eq!(heap.alloc(ROOT_PAGES + P), taken(first * P + 10, ROOT_PAGES + P, ROOT_PAGES + P));
    heap.validate().unwrap();
    heap.free(run(first * P + 10, ROOT_PAGES + P)).unwrap();
    heap.validate().unwrap();
    assert_eq!(heap.alloc(ROOT_PAGES + 2 * P), None);
    assert_eq!(heap.alloc(2 * P), taken(first * P + 10, 2 * P, 0));
}

#[test]
fn gaps_end_runs_and_search_addresses_step_over_them() {
    for gap in [1, 0xe, 0x1000, 2 * ROOT_CHUNKS + 3] {
        let high = BASE + 1 + gap;
        let mut heap = Heap::with(&[(high, 1), (BASE, 1)]);
        assert_eq!(heap.alloc(P + 1), None);
        assert_eq!(heap.alloc(P - 1), taken(B, P - 1, P - 1));
        assert_eq!(heap.alloc(2), taken(high * P, 2, 2));
        assert_eq!(heap.alloc(1), taken(B + P - 1, 1, 1));
        heap.validate().unwrap();
        assert_eq!(heap.alloc(1), taken(high * P + 2, 1, 1));
        heap.free(run(high * P, 3)).unwrap();
        heap.validate().unwrap();
        assert_eq!(heap.alloc(P), taken(high * P, P, P - 3));
        assert_eq!(heap.alloc(1), None);
        heap.map(BASE + 1, gap);
        heap.validate().unwrap();
        assert_eq!(heap.alloc(gap * P), taken(B + P, gap * P, gap * P));
    }
}

#[test]
fn growth_coalesces_and_is_refused_where_it_makes_no_sense() {
    let mut heap = Heap::with(&[(BASE, 2)]);
    let ranges = |heap: &Heap| heap.mapped_ranges().map(|range| (range.first.0, range.chunks)).collect::<Vec<_>>();
    heap.map(BASE + 5, 1);
    assert_eq!(ranges(&heap), [(BASE, 2), (BASE + 5, 1)]);
    heap.map(BASE + 2, 1);
    assert_eq!(ranges(&heap), [(BASE, 3), (BASE + 5, 1)]);
    heap.map(BASE + 4, 1);
    assert_eq!(ranges(&heap), [(BASE, 3), (BASE + 4, 2)]);
    heap.map(BASE + 3, 1);
    assert_eq!(ranges(&heap), [(BASE, 6)]);
    heap.map(2 * ROOT_CHUNKS - 1, ROOT_CHUNKS + 2);
    assert_eq!(ranges(&heap), [(BASE, 6), (2 * ROOT_CHUNKS - 1, ROOT_CHUNKS + 2)]);
    assert_eq!(heap.high_chunk().unwrap().0, 3 * ROOT_CHUNKS);
    assert_eq!(heap.mapped_pages(), (6 + ROOT_CHUNKS + 2) * P);

    let fault = |kind, page| Err(Fault { kind, page: Page(page) });
    assert_eq!(heap.grow(run(B + 5 * P, 2 * P)), fault(FaultKind::AlreadyMapped, B + 5 * P));
    assert_eq!(heap.grow(run(B - P, 2 * P)), fault(FaultKind::AlreadyMapped, B));
    assert_eq!(heap.grow(run(B - P, P - 1)), fault(FaultKind::NotWholeChunks, B - P));
    assert_eq!(heap.grow(run(B - 1, P)), fault(FaultKind::NotWholeChunks, B - 1));
    assert_eq!(heap.grow(run(0, P)), fault(FaultKind::NoRoot, 0));
    // The first page of the run without a root: that of the run, or that of a later root.
    assert_eq!(heap.grow(run(4 * ROOT_PAGES + P, P)), fault(FaultKind::NoRoot, 4 * ROOT_PAGES + P));
    assert_eq!(heap.grow(run(4 * ROOT_PAGES - P, 2 * P)), fault(FaultKind::NoRoot, 4 * ROOT_PAGES));
    assert_eq!(heap.grow(run(ROOTS * ROOT_PAGES - P, P)), fault(FaultKind::NoRoot, ROOTS * ROOT_PAGES - P));
    assert_eq!(heap.grow(run(ROOTS * ROOT_PAGES, P)), fault(FaultKind::BadRun, ROOTS * ROOT_PAGES));
    assert_eq!(heap.grow(run(B, 0)), fault(FaultKind::BadRun, B));
    assert_eq!(heap.grow(run(usize::MAX - 1, 2)), fault(FaultKind::BadRun, usize::MAX - 1));
}

#[test]
fn misuse_is_told_and_changes_nothing() {
    let mut heap = Heap::with(&[(BASE, 2)]);
    let fault = |kind, page| Err(Fault { kind, page: Page(page) });
    heap.claim(B + 10, P);
    assert_eq!(heap.free(run(B + 9, 5)), fault(FaultKind::DoubleFree, B + 9));
    assert_eq!(heap.free(run(B + 20, P)), fault(FaultKind::DoubleFree, B + P + 10));
    assert_eq!(heap.free_scavenged(run(B + P + 9, 2)), fault(FaultKind::DoubleFree, B + P + 10));
    assert_eq!(heap.free(run(B - 1, 1)), fault(FaultKind::NotMapped, B - 1));
    assert_eq!(heap.free(run(0, 1)), fault(FaultKind::NotMapped, 0));
    assert_eq!(heap.free(run(B + 10, 0)), fault(FaultKind::BadRun, B + 10));
    assert_eq!(heap.free(run(usize::MAX, 2)), fault(FaultKind::BadRun, usize::MAX));
    // The address space ends at `end`.
    let end = ROOTS * ROOT_PAGES;
    for (first, pages, kind) in [
        (0, end, FaultKind::NotMapped),
        (0, end + 1, FaultKind::BadRun),
        (0, usize::MAX, FaultKind::BadRun),
        (end - 5, 5, FaultKind::NotMapped),
        (end - 5, 6, FaultKind::BadRun),
        (end, 1, FaultKind::BadRun),
    ] {
        assert_eq!(heap.free(run(first, pages)), fault(kind, first), "{first} {pages}");
    }
    assert_eq!(heap.free_pages(), P);
    heap.validate().unwrap();
    assert_eq!(heap.free(run(B + 10, P)), Ok(()));
    assert_eq!(heap.free(run(B + 10, 1)), fault(FaultKind::DoubleFree, B + 10));
}

#[test]
fn exact_runs_are_taken_only_if_wholly_free() {
    let mut heap = Heap::with(&[(BASE, 2)]);
    assert_eq!(heap.alloc(5), taken(B, 5, 5));
    assert_eq!(heap.alloc_exact(run(B + 5, P)), taken(B + 5, P, P));
    assert_eq!(heap.alloc_exact(run(B + 4, 1)), None);
    assert_eq!(heap.alloc_exact(run(B + P, P)), None);
    assert_eq!(heap.alloc_exact(run(B + P + 5, P - 5)), taken(B + P + 5, P - 5, P - 5));
    assert_eq!(heap.alloc_exact(run(B + 2 * P, 1)), None);
    assert_eq!(heap.alloc_exact(run(B, 0)), None);
    assert_eq!(heap.alloc(1), None);
}

#[test]
fn aligned_runs_take_nothing_but_themselves() {
    let mut heap = Heap::with(&[(BASE, 4)]);
    heap.claim(B, 1);
    assert_eq!(heap.alloc_aligned(3, 8), taken(B + 8, 3, 3));
    assert_eq!(heap.alloc_aligned(64, 64), taken(B + 64, 64, 64));
    assert_eq!(heap.alloc_aligned(P, P), taken(B + P, P, P));
    assert_eq!(heap.alloc_aligned(P + 1, P), taken(B + 2 * P, P + 1, P + 1));
    heap.validate().unwrap();
    assert_eq!(heap.alloc_aligned(1, 4 * P), None);
    assert_eq!(heap.alloc(7), taken(B + 1, 7, 7));
    assert_eq!(heap.scavenged_pages(), heap.free_pages(), "what lies around aligned runs is as it was");
    // Only an exact search finds this: no run of 64 + 63 pages is left.
    let mut heap = Heap::with(&[(BASE, 1)]);
    heap.claim(B, 128);
    heap.claim(B + 192, P - 192);
    assert_eq!(heap.alloc_aligned(64, 64), taken(B + 128, 64, 64));
    assert_eq!(heap.alloc_aligned(64, 64), None);
}

#[test]
fn a_search_past_its_chunk_sees_the_pending_change_of_another() {
    let mut heap = Heap::with(&[(BASE, 24)]);
    heap.claim(B, 24 * P);
    // Searches for two pages start here, in vain.
    heap.free(run(B + 8, 1)).unwrap();
    // Under other nodes of the level above.
    for far in [B + 9 * P + 5, B + 23 * P + 70] {
        // The last edit made the only room there is.
        heap.free(run(far, 2)).unwrap();
        assert_eq!(heap.alloc(2), taken(far, 2, 0));
        // An edit of another chunk propagates the room to the nodes above. The last edit takes the room, and is pending.
        heap.free(run(far, 2)).unwrap();
        heap.free(run(B + P, 1)).unwrap();
        heap.claim(B + P, 1);
        heap.claim(far, 2);
        assert_eq!(heap.alloc(2), None);
        heap.validate().unwrap();
    }
    // A change of many chunks, and growth, while a change elsewhere is pending.
    heap.free(run(B + 10 * P, 2)).unwrap();
    heap.free(run(B + P, P + 1)).unwrap();
    heap.validate().unwrap();
    heap.free(run(B + 12 * P, 2)).unwrap();
    heap.map(BASE + 24, 1);
    heap.validate().unwrap();
    assert_eq!(heap.alloc(P + 3), None);
    assert_eq!(heap.alloc(P + 1), taken(B + P, P + 1, 0));
    assert_eq!(heap.alloc(2), taken(B + 10 * P, 2, 0));
    assert_eq!(heap.alloc(P), taken(B + 24 * P, P, P));
}

#[test]
fn runs_above_a_floor() {
    let mut heap = Heap::with(&[(BASE, 2), (BASE + 4, 1)]);
    let floor = Page(B + 100);
    assert_eq!(heap.alloc_above(floor, 0), None);
    assert_eq!(heap.alloc_above(floor, usize::MAX), None);
    for (pages, at) in [(1, B + 100), (8, B + 101), (P - 109, B + 109), (P, B + P), (2, B + 4 * P)] {
        assert_eq!(heap.alloc_above(floor, pages), taken(at, pages, pages));
        heap.validate().unwrap();
    }
    // Above the floor nothing is left. Without a floor, the free pages below it are the lowest.
    assert_eq!(heap.alloc_above(floor, P), None);
    heap.validate().unwrap();
    assert_eq!(heap.alloc(100), taken(B, 100, 100));
    // The lowest free run may lie above the floor, or begin below it and go on above.
    heap.free(run(B + 90, 30)).unwrap();
    assert_eq!(heap.alloc_above(floor, 20), taken(B + 100, 20, 0));
    heap.validate().unwrap();
    heap.free(run(B + 100, 20)).unwrap();
    assert_eq!(heap.alloc_above(floor, 21), taken(B + 4 * P + 2, 21, 21));
    assert_eq!(heap.alloc_above(Page(B + 4 * P), 1), taken(B + 4 * P + 23, 1, 1));
    heap.validate().unwrap();
    assert_eq!(heap.alloc(30), taken(B + 90, 30, 0));
}

#[test]
fn tables_and_roots_are_supplied_once() {
    let mut pages = PageAllocator::new();
    let wrong = |page| Err(Fault { kind: FaultKind::WrongTable, page: Page(page) });
    assert!(!pages.has_table() && !pages.has_root(1));
    assert_eq!(pages.add_root(1, root_memory()), wrong(ROOT_PAGES));
    pages.attach(table()).unwrap();
    assert!(pages.has_table() && !pages.has_root(1));
    pages.add_root(1, root_memory()).unwrap();
    assert!(pages.has_root(1) && !pages.has_root(2));
    assert_eq!(pages.attach(table()), wrong(0));
    assert_eq!(pages.add_root(1, root_memory()), wrong(ROOT_PAGES));
    assert_eq!(pages.add_root(ROOTS, root_memory()), wrong(ROOTS * ROOT_PAGES));
    recycle(pages.detach().unwrap());
    assert!(!pages.has_table() && pages.detach().is_none());
}

#[test]
fn blocks_of_64_pages_are_released_if_every_page_is() {
    let mut heap = Heap::with(&[(BASE, 1)]);
    let blocks = |heap: &Heap| heap.released_blocks(Chunk(BASE));
    assert_eq!(blocks(&heap), 0xff);
    heap.claim(B + 64, 1);
    assert_eq!(blocks(&heap), 0b1111_1101);
    heap.back(B + P - 1, 1);
    assert_eq!(blocks(&heap), 0b0111_1101);
    heap.free_scavenged(run(B + 64, 1)).unwrap();
    assert_eq!(blocks(&heap), 0b0111_1111);
    assert_eq!((heap.released_blocks(Chunk(BASE - 1)), heap.released_blocks(Chunk(0))), (0, 0));
}
