//! The functions on one word and on the bitmaps of a chunk, each against a twin that goes bit by bit.

use std::vec::Vec;

use super::support::Numbers;
use crate::pages::bits::ChunkBits;
use crate::pages::summary::{FANOUT, Summary};
use crate::pages::validate::{slow_merge, slow_summary};
use crate::pages::word::{fill_aligned, find_run, longest_run, mask, run_starts};
use crate::units::{CHUNK_PAGES, CHUNK_WORDS};

const P: usize = CHUNK_PAGES;

fn bit(word: u64, at: usize) -> bool {
    word >> at & 1 != 0
}

fn slow_fill_aligned(word: u64, group: usize) -> u64 {
    let mut filled = 0;
    for at in 0..64 {
        let first = at / group * group;
        if (first..first + group).any(|at| bit(word, at)) {
            filled |= 1 << at;
        }
    }
    filled
}

fn slow_find_run(word: u64, len: usize) -> Option<usize> {
    (0..=64 - len).find(|&start| (start..start + len).all(|at| bit(word, at)))
}

fn slow_longest_run(word: u64) -> usize {
    (1..=64).rev().find(|&len| slow_find_run(word, len).is_some()).unwrap_or(0)
}

/// Words with long and short runs, sparse and dense.
fn patterns() -> Vec<u64> {
    let mut words =
        std::vec![0, 1, 1 << 63, u64::MAX, u64::MAX >> 1, u64::MAX << 1, 0x5555_5555_5555_5555, 0x1111_1111_1111_1111];
    for at in 0..64 {
        words.extend([1 << at, !(1 << at), u64::MAX << at, u64::MAX >> at, 1 << at | 1 << (63 - at)]);
    }
    let mut numbers = Numbers(1);
    for _ in 0..2000 {
        let (a, b, c) = (numbers.next(), numbers.next(), numbers.next());
        words.extend([a, a & b & c, a | b | c, (a | b) & (c | c << 1), u64::MAX << (a % 64) ^ u64::MAX << (b % 64)]);
    }
    words
}

/// A chunk with random free runs. A large `dense` makes long runs likely.
pub fn random_chunk(numbers: &mut Numbers, dense: usize) -> ChunkBits {
    let mut chunk = ChunkBits::FULL;
    let mut at = numbers.below(dense);
    while at < P {
        let pages = (1 + numbers.below(dense)).min(P - at);
        chunk.give(at, pages, numbers.next() % 2 == 0);
        at += pages + 1 + numbers.below(dense);
    }
    chunk
}

fn random_chunks(count: usize) -> impl Iterator<Item = ChunkBits> {
    let mut numbers = Numbers(2);
    (0..count).map(move |i| random_chunk(&mut numbers, [2, 5, 40, 200, 600][i % 5]))
}

fn is_free(chunk: &ChunkBits, page: usize) -> bool {
    bit(chunk.free[page / 64], page % 64)
}

#[test]
fn mask_equals_its_twin() {
    for from in 0..64 {
        for len in 1..=64 - from {
            let slow = (from..from + len).fold(0, |mask, at| mask | 1 << at);
            assert_eq!(mask(from, len), slow, "{from} {len}");
        }
    }
}

#[test]
fn fill_aligned_equals_its_twin() {
    for word in patterns() {
        for group in [1, 2, 4, 8, 16, 32, 64] {
            assert_eq!(fill_aligned(word, group), slow_fill_aligned(word, group), "{word:#x} {group}");
        }
    }
}

#[test]
fn find_run_equals_its_twin_for_every_length() {
    for word in patterns().into_iter().step_by(3) {
        for len in 1..=64 {
            assert_eq!(find_run(word, len), slow_find_run(word, len), "{word:#x} {len}");
            assert_eq!(run_starts(word, len) != 0, find_run(word, len).is_some());
        }
    }
}

#[test]
fn longest_run_equals_its_twin() {
    for word in patterns() {
        let slow = slow_longest_run(word);
        for known in [0, 1, 2, 3, 7, slow.saturating_sub(1), slow, slow + 1, 63, 64, 100] {
            assert_eq!(longest_run(word, known), slow.max(known), "{word:#x} {known}");
        }
    }
}

#[test]
fn bitmap_ranges_take_give_and_count_what_they_say() {
    let mut numbers = Numbers(3);
    for (from, pages) in [(0, 1), (0, 64), (0, P), (63, 2), (64, 64), (1, 126), (P - 1, 1), (P - 64, 64), (7, P - 7)]
        .into_iter()
        .chain((0..500).map(|_| {
            let from = numbers.below(P);
            (from, 1 + numbers.below(P - from))
        }))
    {
        let mut chunk = ChunkBits::FULL;
        chunk.give(from, pages, true);
        for page in 0..P {
            assert_eq!(is_free(&chunk, page), (from..from + pages).contains(&page));
        }
        assert_eq!(chunk.free, chunk.scavenged);
        assert_eq!(chunk.counts(), (pages, pages));
        assert_eq!(chunk.count_free(0, P), pages);
        assert_eq!(chunk.first_free(0, P), Some(from));
        assert_eq!(chunk.take(from, pages), pages);
        assert_eq!(chunk.counts(), (0, 0));
        chunk.give(from, pages, false);
        assert_eq!(chunk.counts(), (pages, 0));
        assert_eq!(chunk.take(from, pages), 0);
    }
}

#[test]
fn bitmap_counts_equal_their_twins() {
    let mut numbers = Numbers(4);
    for chunk in random_chunks(300) {
        for _ in 0..10 {
            let from = numbers.below(P);
            let pages = 1 + numbers.below(P - from);
            let range = from..from + pages;
            assert_eq!(chunk.count_free(from, pages), range.clone().filter(|&page| is_free(&chunk, page)).count());
            assert_eq!(chunk.first_free(from, pages), range.clone().find(|&page| is_free(&chunk, page)));
            assert_eq!(chunk.last_in_use(from, pages), range.rev().find(|&page| !is_free(&chunk, page)));
        }
    }
}

#[test]
fn chunk_find_equals_its_twin() {
    for chunk in random_chunks(200) {
        for pages in [1, 2, 3, 5, 8, 31, 63, 64, 65, 66, 127, 128, 129, 200, 511, 512] {
            for from in [0, 1, 63, 64, 100, 128, 300, 448, 511] {
                let mut run = 0;
                let slow = (from..P).find_map(|page| {
                    run = if is_free(&chunk, page) { run + 1 } else { 0 };
                    (run == pages).then(|| page + 1 - pages)
                });
                assert_eq!(chunk.find(from, pages), slow, "{pages} pages from {from}: {chunk:x?}");
            }
        }
    }
}

#[test]
fn chunk_summary_equals_its_twin() {
    let mut fresh = ChunkBits::FULL;
    assert_eq!(fresh.summary(), Summary::FULL);
    fresh.set_fresh();
    assert_eq!(fresh.summary(), Summary::free(P));
    for chunk in random_chunks(1000) {
        assert_eq!(chunk.summary(), slow_summary(&chunk), "{chunk:x?}");
    }
    for word in patterns() {
        for at in [0, 3, CHUNK_WORDS - 1] {
            let mut chunk = ChunkBits::FULL;
            chunk.free[at] = word;
            assert_eq!(chunk.summary(), slow_summary(&chunk));
            chunk.free = chunk.free.map(|word| !word);
            assert_eq!(chunk.summary(), slow_summary(&chunk));
        }
    }
}

#[test]
fn summaries_keep_their_fields_and_the_whole_root_is_bit_63() {
    for (start, max, end) in [(0, 0, 0), (1, 2, 1), (0, (1 << 21) - 1, 0), ((1 << 21) - 1, (1 << 21) - 1, 7)] {
        assert_eq!(Summary::new(start, max, end).root_fields(), (start, max, end));
        assert_eq!(Summary::new(start, max, end).fields(), (start, max, end));
    }
    let all = Summary::free(1 << 21);
    assert_eq!(all.root_fields(), (1 << 21, 1 << 21, 1 << 21));
    assert_eq!(Summary::merge(&[Summary::free(1 << 18); FANOUT], 1 << 18), all);
    assert_eq!(Summary::new(0, 0, 0), Summary::FULL);
}

#[test]
fn merging_equals_its_twin() {
    let mut numbers = Numbers(5);
    for _ in 0..3000 {
        let children = core::array::from_fn(|_| match numbers.below(4) {
            0 => Summary::FULL,
            1 => Summary::free(P),
            _ => {
                let dense = 1 + numbers.below(600);
                random_chunk(&mut numbers, dense).summary()
            }
        });
        assert_eq!(Summary::merge(&children, P), slow_merge(&children, P), "{children:?}");
    }
}

#[test]
fn merging_one_changed_child_equals_merging_all() {
    let mut numbers = Numbers(9);
    let any = |numbers: &mut Numbers| match numbers.below(6) {
        0 => Summary::FULL,
        1 | 2 => Summary::free(P),
        3 => Summary::new(0, P - 1, P - 1),
        _ => {
            let dense = 1 + numbers.below(600);
            random_chunk(numbers, dense).summary()
        }
    };
    for _ in 0..20_000 {
        let mut children = core::array::from_fn(|_| any(&mut numbers));
        for _ in 0..10 {
            let parent = Summary::merge(&children, P);
            let i = numbers.below(FANOUT);
            let old = children[i];
            children[i] = any(&mut numbers);
            let merged = parent.merge_one(&children, i, old, P);
            assert_eq!(merged, Summary::merge(&children, P), "{i} was {old:?}: {children:?}");
        }
    }
}

#[test]
fn summary_after_a_change_equals_the_summary() {
    let mut numbers = Numbers(10);
    for round in 0..400 {
        let mut chunk = random_chunk(&mut numbers, [2, 5, 40, 200, 600][round % 5]);
        for _ in 0..60 {
            let before = chunk.summary();
            let from = numbers.below(P);
            let freed = !is_free(&chunk, from);
            // All pages from `from` that are alike, or fewer.
            let alike = (from..P).take_while(|&page| is_free(&chunk, page) != freed).count();
            let pages = if numbers.below(2) == 0 { alike } else { 1 + numbers.below(alike) };
            if freed {
                chunk.give(from, pages, false);
            } else {
                chunk.take(from, pages);
            }
            assert_eq!(
                chunk.summary_after(before, from, pages, freed),
                slow_summary(&chunk),
                "{from} {pages} {chunk:x?}"
            );
        }
    }
}
