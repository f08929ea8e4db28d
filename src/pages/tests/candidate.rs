//! What is released next: the search in one chunk by table and against a twin, portions, and passes over a whole heap.

use std::vec::Vec;

use super::support::{Heap, Numbers};
use super::words::random_chunk;
use crate::pages::bits::ChunkBits;
use crate::units::{CHUNK_PAGES, Chunk, Page, ROOT_CHUNKS, Run};

const P: usize = CHUNK_PAGES;
const BASE: usize = ROOT_CHUNKS + 5;
const B: usize = BASE * P;
/// Pages per OS page on 4 KiB (and 8 KiB), 16 KiB and 64 KiB kernels.
const OS_PAGES: [usize; 3] = [1, 2, 8];

/// A chunk with these runs in use and those released; what is in both is in use.
fn chunk(in_use: &[(usize, usize)], scavenged: &[(usize, usize)]) -> ChunkBits {
    let mut chunk = ChunkBits::FULL;
    chunk.give(0, P, false);
    for &(from, pages) in scavenged.iter().filter(|run| run.1 > 0) {
        chunk.take(from, pages);
        chunk.give(from, pages, true);
    }
    for &(from, pages) in in_use.iter().filter(|run| run.1 > 0) {
        chunk.take(from, pages);
    }
    chunk
}

fn find(chunk: &ChunkBits, min: usize, max: usize, huge: usize) -> Option<(usize, usize)> {
    find_from(chunk, P - 1, min, max, huge).0
}

fn find_from(chunk: &ChunkBits, from: usize, min: usize, max: usize, huge: usize) -> (Option<(usize, usize)>, bool) {
    let found = chunk.candidate(Chunk(7), from, min, max, huge);
    (found.run.map(|run| (run.first.0 - 7 * P, run.pages)), found.more_below)
}

#[test]
fn one_page_free_and_unscavenged() {
    let only41 = chunk(&[(0, 20), (50, P - 50)], &[(20, 21), (42, 8)]);
    assert_eq!(find_from(&only41, P - 1, 1, P, 0), (Some((41, 1)), false));
    assert_eq!(find_from(&only41, 41, 1, P, 0), (Some((41, 1)), false));
    assert_eq!(find_from(&only41, 40, 1, P, 0), (None, false));
}

#[test]
fn released_page_above_the_candidate_is_skipped() {
    let mixed = chunk(&[(0, 63), (65, 20), (87, P - 87)], &[(86, 1)]);
    assert_eq!(find_from(&mixed, P - 1, 1, P, 0), (Some((85, 1)), true));
    assert_eq!(find_from(&mixed, 84, 1, P, 0), (Some((63, 2)), false));
}

#[test]
fn candidates_for_each_minimum() {
    for m in [1, 2, 4, 8, 16, 32, 64] {
        let all = chunk(&[], &[]);
        assert_eq!(find(&all, m, P, 0), Some((0, P)));
        assert_eq!(find(&chunk(&[], &[(0, P)]), m, P, 0), None);
        assert_eq!(find(&chunk(&[(0, P)], &[]), m, P, 0), None);
        assert_eq!(find(&chunk(&[(m, P - m)], &[]), m, P, 0), Some((0, m)));
        assert_eq!(find(&chunk(&[(0, P - m)], &[]), m, P, 0), Some((P - m, m)));
        assert_eq!(find(&chunk(&[(0, 64 - m), (64 + m, P - 64 - m)], &[]), m, 2 * m, 0), Some((64 - m, 2 * m)));
        let above = chunk(&[(64, 64), (128 + 3 * m, P - 128 - 3 * m)], &[(1, 10)]);
        assert_eq!(find(&above, m, 3 * m, 0), Some((128, 3 * m)));
        assert_eq!(find(&chunk(&[], &[(0, P - m)]), m, 0, 0), Some((P - m, m)));
        assert_eq!(find(&all, m, 0, 0), Some((P - m, m)));
        assert_eq!(find(&all, m, m + 1, 0), Some(if m == 1 { (P - 2, 2) } else { (P - 2 * m, 2 * m) }));
        if m > 1 {
            assert_eq!(find(&all, m, m - 1, 0), Some((P - m, m)));
            assert_eq!(find(&chunk(&[(0, P - m / 2)], &[]), m, P, 0), None, "smaller than the minimum");
            let misaligned = chunk(&[(0, P - 3 * m / 2), (P - m / 2, m / 2)], &[]);
            assert_eq!(find(&misaligned, m, P, 0), None, "long enough but misaligned");
            let lower = chunk(&[(m, P - m - m / 2)], &[]);
            assert_eq!(find(&lower, m, P, 0), Some((0, m)), "what is too small is skipped");
        }
    }
}

#[test]
fn huge_pages_stay_whole() {
    for min in OS_PAGES {
        for huge in [16, 32, 64, 128, 256] {
            let two = 2_usize.next_multiple_of(min);
            let low = chunk(&[(huge + two, P - huge - two)], &[]);
            assert_eq!(find(&low, min, 3_usize.max(two + 1), huge), Some((0, huge + two)));
            assert_eq!(find(&chunk(&[(0, P - huge)], &[]), min, 1, huge), Some((P - huge, huge)));
            // Not whole, so it may be broken.
            let broken = chunk(&[(0, P - huge), (P - huge, 1)], &[]);
            assert_eq!(find(&broken, min, min, huge), Some((P - min, min)));
            let released = chunk(&[(0, P - huge)], &[(P - huge, min)]);
            assert_eq!(find(&released, min, min, huge), Some((P - min, min)));
        }
        for huge in [16, 32, 64, 128] {
            let ten = 10_usize.next_multiple_of(min);
            let middle = chunk(&[(0, huge - ten), (2 * huge + ten, P - 2 * huge - ten)], &[]);
            assert_eq!(find(&middle, min, ten + 2, huge), Some((huge, huge + ten)));
        }
    }
}

#[test]
fn a_search_that_begins_inside_a_whole_huge_page_takes_all_of_it() {
    let all = chunk(&[], &[]);
    assert_eq!(find_from(&all, 300, 1, 1, 256), (Some((256, 256)), true));
    assert_eq!(find_from(&all, 300, 1, 1, 0), (Some((300, 1)), true));
    assert_eq!(find_from(&all, 300, 8, 8, 0), (Some((296, 8)), true));
    assert_eq!(find_from(&all, 0, 1, 1, 0), (Some((0, 1)), false));
    assert_eq!(find_from(&all, usize::MAX, 1, 1, 0), (Some((P - 1, 1)), true));
}

#[test]
fn candidates_equal_their_twin() {
    let mut numbers = Numbers(6);
    for round in 0..4000 {
        let bits = random_chunk(&mut numbers, [3, 30, 300, 600][round % 4]);
        let min = 1 << numbers.below(7);
        let max = numbers.below(P + 40);
        let huge = [0, 16, 128, 256, 512][numbers.below(5)];
        let from = numbers.below(P);
        let page = |at: usize| (bits.free[at / 64] & !bits.scavenged[at / 64]) >> (at % 64) & 1 != 0;
        let all = |first: usize, pages: usize| (first..first + pages).all(page);
        let huge = if huge > min { huge } else { 0 };

        let mut limit = from / min * min + min;
        if huge > 0 && all(from / huge * huge, huge) {
            limit = from / huge * huge + huge;
        }
        let groups: Vec<usize> = (0..limit / min).filter(|group| all(group * min, min)).collect();
        let expected = groups.last().map(|&last| {
            let end = (last + 1) * min;
            let bottom = (0..=last).rev().take_while(|group| groups.contains(group)).last().unwrap() * min;
            let max = max.max(min).div_ceil(min) * min;
            let mut start = bottom.max(end.saturating_sub(max));
            if huge > 0 {
                let below = start & !(huge - 1);
                if below >= bottom && below + huge <= end {
                    start = below;
                }
            }
            (start, end - start)
        });
        let more = expected.is_some_and(|(start, _)| groups.iter().any(|group| group * min < start));
        assert_eq!(find_from(&bits, from, min, max, huge), (expected, more), "{min} {max} {huge} {from}");
    }
}

#[test]
fn a_portion_is_the_upper_end_of_a_longer_run_and_leaves_the_rest_alone() {
    // (retained pages and where they begin, pages per OS page, per huge page, wanted) and (where the portion begins, its pages)
    for ((first, retained), os_page, huge, wanted, (portion_first, portion)) in [
        ((0, P), 1, 0, 1, (P - 1, 1)),
        ((0, P), 1, 0, P - 1, (1, P - 1)),
        ((0, P), 8, 0, 9, (P - 16, 16)),
        ((100, 200), 1, 0, 50, (250, 50)),
        ((100, 200), 1, 0, 199, (101, 199)),
        ((96, 200), 8, 0, 1, (288, 8)),
        ((96, 200), 8, 0, 100, (192, 104)),
        // No whole huge page in reach: nothing is added.
        ((100, 200), 1, 256, 50, (250, 50)),
        // A cut inside a whole huge page goes down to its start, and no further.
        ((0, P), 1, 256, 1, (256, 256)),
        ((0, P), 1, 256, 256, (256, 256)),
        ((0, P - 10), 1, 256, 10, (492, 10)),
        ((0, P - 10), 1, 256, 300, (0, 502)),
        ((1, P - 1), 1, 256, 257, (255, 257)),
        ((0, P), 1, 128, 200, (256, 256)),
    ] {
        let case = (first, retained, os_page, huge, wanted);
        let mut heap = Heap::with(&[(BASE, 1)]);
        heap.back(B + first, retained);
        let taken = heap.alloc_candidate(Chunk(BASE), P - 1, os_page, wanted, huge);
        assert_eq!(taken.run, Some(Run { first: Page(B + portion_first), pages: portion }), "{case:?}");
        assert_eq!(taken.more_below, portion < retained, "{case:?}");
        assert_eq!(heap.chunk_retained(Chunk(BASE)), retained - portion, "{case:?}");
        heap.validate().unwrap();
        // The rest of the run can be allocated while the portion is being released, and is still backed.
        for (first, pages) in
            [(first, portion_first - first), (portion_first + portion, first + retained - portion_first - portion)]
        {
            if pages > 0 {
                assert_eq!(heap.claim(B + first, pages), 0, "{case:?}");
            }
        }
        heap.free_scavenged(taken.run.unwrap()).unwrap();
        assert_eq!(heap.chunk_retained(Chunk(BASE)), 0, "{case:?}");
    }
}

#[test]
fn portions_of_random_memory_are_as_long_as_wanted_and_leave_nothing_behind() {
    let mut numbers = Numbers(11);
    for round in 0..400 {
        let mut heap = Heap::with(&[(BASE, 1)]);
        let mut at = 0;
        while at < P {
            let pages = (1 + numbers.below([20, 100, 500][round % 3])).min(P - at);
            if numbers.below(3) > 0 {
                heap.back(B + at, pages);
            }
            at += pages;
        }
        let os_page = OS_PAGES[numbers.below(OS_PAGES.len())];
        let wanted = 1 + numbers.below(80);
        let portion = wanted.next_multiple_of(os_page);
        let (retained, scavenged) = (heap.chunk_retained(Chunk(BASE)), heap.scavenged_pages());
        let (mut released, mut from) = (0, P - 1);
        loop {
            let found = heap.alloc_candidate(Chunk(BASE), from, os_page, wanted, 0);
            let Some(run) = found.run else { break };
            let first = run.first.index_in_chunk();
            let is_retained = |page: usize| {
                let (free, scavenged) = heap.bitmap_words(Chunk(BASE), page / 64).unwrap();
                (free & !scavenged) >> (page % 64) & 1 != 0
            };
            let ends_here = first == 0 || !(first - os_page..first).all(is_retained);
            assert!(run.pages == portion || run.pages < portion && ends_here, "{run:?}, {wanted} were wanted");
            released += run.pages;
            assert_eq!(heap.chunk_retained(Chunk(BASE)), retained - released);
            heap.free_scavenged(run).unwrap();
            if !found.more_below {
                break;
            }
            from = first - 1;
        }
        assert_eq!(heap.scavenged_pages(), scavenged + released);
        assert_eq!(heap.alloc_candidate(Chunk(BASE), P - 1, os_page, P, 0).run, None);
        assert!(os_page > 1 || released == retained);
    }
}

/// Releases up to `pages`, highest first, as a scavenger does. Returns how many it released.
fn scavenge(heap: &mut Heap, pages: usize, os_page: usize) -> usize {
    let chunks: Vec<usize> =
        heap.mapped_ranges().flat_map(|range| range.first.0..range.first.0 + range.chunks).collect();
    let mut released = 0;
    for &chunk in chunks.iter().rev() {
        while released < pages {
            let in_use = heap.chunk_in_use(Chunk(chunk));
            let candidate = heap.alloc_candidate(Chunk(chunk), P - 1, os_page, pages - released, 0);
            let Some(run) = candidate.run else {
                break;
            };
            assert_eq!(heap.chunk_in_use(Chunk(chunk)), in_use + run.pages, "nobody else can take it meanwhile");
            assert_eq!(heap.alloc_exact(run), None);
            heap.validate().unwrap();
            heap.free_scavenged(run).unwrap();
            heap.validate().unwrap();
            released += run.pages;
            if !candidate.more_below {
                break;
            }
        }
    }
    released
}

#[test]
fn scavenge_everything() {
    for k in OS_PAGES {
        let mut heap = Heap::with(&[(BASE, 3)]);
        assert_eq!(scavenge(&mut heap, usize::MAX, k), 0, "new memory is released already");
        heap.back(B, 3 * P);
        assert!(!heap.chunk_is_all_free_and_scavenged(Chunk(BASE)));
        assert_eq!(heap.chunk_retained(Chunk(BASE)), P);
        assert_eq!(scavenge(&mut heap, usize::MAX, k), 3 * P);
        assert_eq!((heap.free_pages(), heap.scavenged_pages()), (3 * P, 3 * P));
        assert!(heap.chunk_is_all_free_and_scavenged(Chunk(BASE)));
        assert!(!heap.chunk_is_all_free_and_scavenged(Chunk(BASE + 3)));
        assert_eq!(heap.alloc(3 * P).unwrap().scavenged_pages, 3 * P);
    }
}

#[test]
fn scavenge_with_nothing_to_release() {
    for k in OS_PAGES {
        let mut heap = Heap::with(&[(BASE, 3)]);
        heap.claim(B, P);
        heap.claim(B + 2 * P, P);
        assert_eq!(scavenge(&mut heap, usize::MAX, k), 0);
        assert_eq!(scavenge(&mut heap, usize::MAX, k), 0);
        assert_eq!(heap.chunk_in_use(Chunk(BASE)), P);
        assert_eq!(heap.chunk_in_use(Chunk(BASE + 3)), 0);
    }
}

#[test]
fn scavenge_highest_page_first() {
    for k in OS_PAGES {
        let mut heap = Heap::with(&[(BASE, 1)]);
        heap.back(B, k);
        heap.back(B + P - k, k);
        assert_eq!(scavenge(&mut heap, 1, k), k);
        assert_eq!(heap.alloc_exact(Run { first: Page(B + P - k), pages: k }).unwrap().scavenged_pages, k);
        assert_eq!(heap.alloc_exact(Run { first: Page(B), pages: k }).unwrap().scavenged_pages, 0);
    }
}

#[test]
fn scavenge_in_portions_within_and_across_chunks() {
    for k in OS_PAGES {
        let mut heap = Heap::with(&[(BASE, 1)]);
        heap.back(B, 2 * k);
        assert_eq!([(); 3].map(|()| scavenge(&mut heap, k, k)), [k, k, 0]);

        let mut heap = Heap::with(&[(BASE, 2)]);
        heap.back(B, 2 * k);
        heap.back(B + 2 * P - 2 * k, 2 * k);
        let asked = [2 * k, k, k, k];
        assert_eq!(asked.map(|pages| scavenge(&mut heap, pages, k)), [2 * k, k, k, 0]);
    }
}

#[test]
fn scavenge_across_gaps() {
    for k in OS_PAGES {
        for gap in [0xe, 0x1000] {
            let mut heap = Heap::with(&[(BASE, 1), (BASE + gap, 1)]);
            heap.back(B, 2 * k);
            heap.back(B + gap * P + P - 2 * k, 2 * k);
            assert_eq!([2 * k, usize::MAX, 1].map(|pages| scavenge(&mut heap, pages, k)), [2 * k, 2 * k, 0]);
        }
    }
}

#[test]
fn candidates_outside_the_heap_do_not_exist() {
    let mut heap = Heap::with(&[(BASE, 1)]);
    for chunk in [0, BASE - 1, BASE + 1, usize::MAX >> 13] {
        assert_eq!(heap.alloc_candidate(Chunk(chunk), P - 1, 1, P, 256).run, None);
    }
}
