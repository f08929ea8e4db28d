//! The scavenge index: marks, hint and the unlocked search, by themselves.

use crate::check::{ALL, beside, model};
use neap::internals::page_heap::ScavengeIndex;
use neap::internals::units::{Chunk, Run};
use std::sync::Arc;

struct Shared(ScavengeIndex);

// SAFETY: the index is made to be shared.
unsafe impl Sync for Shared {}
// SAFETY: no part of the index belongs to a thread.
unsafe impl Send for Shared {}

fn index() -> Arc<Shared> {
    let index = ScavengeIndex::new();
    index.initialize();
    assert!(index.prepare(0));
    Arc::new(Shared(index))
}

fn mark(index: &ScavengeIndex, chunk: usize) {
    index.mark(Run { first: Chunk(chunk).first_page(), pages: 1 });
}

/// The chunks that one pass over the index claims. A pass takes the steps of `PageHeaps::scavenge`, without the work.
fn pass(index: &ScavengeIndex) -> Vec<usize> {
    let (start, mut end, mut first, mut claimed) = (index.start(), None, true, Vec::new());
    while let Some(chunk) = index.find(start, end) {
        if first {
            index.lower(start, Chunk(chunk.0 + 1));
            first = false;
        }
        end = Some(chunk);
        if index.claim(chunk) {
            claimed.push(chunk.0);
        }
    }
    if first {
        index.lower(start, Chunk(0));
    }
    claimed
}

/// With one more pass, every mark has been claimed, and each only once.
fn all_claimed(index: &ScavengeIndex, mut claimed: Vec<usize>, expected: &[usize]) {
    claimed.extend(pass(index));
    claimed.sort_unstable();
    assert_eq!(claimed, expected, "a mark was lost or claimed twice");
}

model!(a_mark_set_behind_a_search_is_found_by_the_next, ALL, || {
    let index = index();
    mark(&index.0, 1);
    let free = beside(&index, |index| mark(&index.0, 3));
    let claimed = pass(&index.0);
    free.join().unwrap();
    all_claimed(&index.0, claimed, &[1, 3]);
});

model!(a_mark_set_again_behind_a_claim_is_found_by_the_next, ALL, || {
    let index = index();
    mark(&index.0, 3);
    // The hint is high enough already, so a free into the chunk that the search has just claimed does not raise it.
    let free = beside(&index, |index| mark(&index.0, 3));
    let first = pass(&index.0);
    free.join().unwrap();
    let second = pass(&index.0);
    assert!((1..=2).contains(&(first.len() + second.len())));
    assert!(index.0.find(index.0.start(), None).is_none(), "a pass left a mark behind");
    // If a mark lay hidden above the hint, this search, which begins higher, would find it.
    mark(&index.0, 5);
    assert_eq!(pass(&index.0), [5], "a mark was hidden below the hint");
});

model!(a_mark_below_the_search_is_found_too, ALL, || {
    let index = index();
    mark(&index.0, 5);
    let free = beside(&index, |index| mark(&index.0, 2));
    let claimed = pass(&index.0);
    free.join().unwrap();
    all_claimed(&index.0, claimed, &[2, 5]);
});

model!(two_searches_and_a_free_share_the_marks_without_losing_one, 3, || {
    let index = index();
    mark(&index.0, 1);
    mark(&index.0, 2);
    let free = beside(&index, |index| mark(&index.0, 4));
    let other = beside(&index, |index| pass(&index.0));
    let mut claimed = pass(&index.0);
    free.join().unwrap();
    claimed.extend(other.join().unwrap());
    all_claimed(&index.0, claimed, &[1, 2, 4]);
});

model!(two_frees_into_one_chunk_raise_the_hint_once_and_lose_nothing, 4, || {
    let index = index();
    let frees = [(); 2].map(|()| beside(&index, |index| mark(&index.0, 3)));
    let claimed = pass(&index.0);
    for free in frees {
        free.join().unwrap();
    }
    // The second free may have marked the chunk again after the claim.
    let again = pass(&index.0);
    let total = claimed.len() + again.len();
    assert!((1..=2).contains(&total), "{claimed:?} {again:?}");
    assert!(index.0.find(index.0.start(), None).is_none());
});
