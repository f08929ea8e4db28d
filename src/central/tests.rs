//! Tests: when other shards may take from a central, and which central a slot comes back to.

use super::Centrals;
use super::class::{Central, LEAST_EXCESS_BYTES, LEAST_EXCESS_PART, MOST_CACHED_BYTES};
use super::hole_queue::Visits;
use super::lists::SpanChain;
use super::misuse::Misuse;
use crate::size_class::{CLASSES, info};
use crate::span::tests::{FIRST, map, small};
use crate::span::{Span, SpanMap};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::units::PAGE_BYTES;
use std::boxed::Box;
use std::vec::Vec;

const CLASS: usize = CLASSES / 2;

fn take(central: &mut Central, class: usize, wanted: usize) -> Vec<usize> {
    let places: Vec<_> = (0..wanted).map(|_| AtomicUsize::new(0)).collect();
    let (taken, _) = central.take(class, 4096, &places);
    places.iter().rev().map(|place| place.load(Ordering::Relaxed)).take(taken).collect()
}

/// Gives slots to a shard's central, the last first. Returns the slots that it leaves. As in a magazine, a stale word lies
/// below the null.
fn give(
    central: &mut Central,
    shard: usize,
    map: &SpanMap,
    slots: &[usize],
    emptied: &mut SpanChain,
) -> Result<Vec<usize>, Misuse> {
    let stale = slots.first().copied().unwrap_or(1);
    let mut words = [&[stale, 0], slots].concat();
    let top = words.len() - 1;
    // SAFETY: this function owns the words down to the null.
    let given = unsafe { central.give((CLASS, shard), map, words.as_mut_ptr().add(top), 1, emptied) }?;
    assert_eq!((words[0], words[1 + given]), (stale, 0));
    Ok(words.split_off(2 + given))
}

/// A fresh span, number `number` of the map, in a shard.
fn span_in(map: &SpanMap, number: usize, shard: usize) -> Span {
    let span = small(map, number * info(CLASS).span_pages as usize, CLASS);
    // SAFETY: the span was made just now, so no slot of it was handed out.
    unsafe { span.set_shard(shard) };
    span
}

#[test]
fn a_central_has_excess_if_it_is_an_eighth_and_enough_bytes() {
    for class in [0, CLASS, CLASSES - 1] {
        let map = map();
        let mut central = Central::new();
        assert!(!central.has_excess(class, 0));
        let info = info(class);
        let (slots, bytes) = (info.slots as usize, info.slot_bytes as usize);
        let spans = (3 * LEAST_EXCESS_BYTES).div_ceil(slots * bytes);
        for span in 0..spans {
            central.add(small(&map, span * info.span_pages as usize, class));
            assert!(!central.has_excess(class, 0), "class {class}: just now");
        }
        // The look in one epoch finds the slots free, and the look in the next epoch finds them still free.
        assert!(!central.has_excess(class, 1), "class {class}: free since the epoch before");
        assert!(central.has_excess(class, 2), "class {class}");
        // Takes one slot after the other, until none is left.
        for free in (0..spans * slots).rev() {
            assert_eq!(take(&mut central, class, 1).len(), 1);
            let expected = free * bytes >= LEAST_EXCESS_BYTES && free * LEAST_EXCESS_PART > spans * slots;
            assert_eq!((central.free_slots(), central.has_excess(class, 2)), (free, expected), "class {class}");
        }
    }
}

#[test]
fn slots_that_were_needed_in_an_epoch_are_no_excess_after_it() {
    let map = map();
    let info = info(CLASS);
    let (slots, bytes) = (info.slots as usize, info.slot_bytes as usize);
    let spans = (4 * LEAST_EXCESS_BYTES).div_ceil(slots * bytes);
    let mut central = Central::new();
    for number in 0..spans {
        central.add(span_in(&map, number, 0));
    }
    assert!(!central.has_excess(CLASS, 1) && central.has_excess(CLASS, 2));
    // Between two looks all slots go out, and all but one slot of each span come back.
    let out = take(&mut central, CLASS, spans * slots);
    let bases = (0..spans).map(|number| (FIRST + number * info.span_pages as usize) * PAGE_BYTES).collect::<Vec<_>>();
    let (last, back) = out.into_iter().partition::<Vec<_>, _>(|slot| bases.contains(slot));
    let mut emptied = SpanChain::default();
    assert_eq!(give(&mut central, 0, &map, &back, &mut emptied), Ok(Vec::new()));
    assert_eq!(central.free_slots(), spans * (slots - 1));
    assert!(!central.has_excess(CLASS, 2) && !central.has_excess(CLASS, 3), "no slot was free all through epoch 2");
    assert!(central.has_excess(CLASS, 4), "nearly all slots were free all through epoch 3");
    // Spans that become empty take their free slots with them.
    assert_eq!(give(&mut central, 0, &map, &last, &mut emptied), Ok(Vec::new()));
    assert!(central.take_spare().is_some() && central.free_slots() == 0);
    for number in 0..spans {
        central.add(small(&map, (spans + number) * info.span_pages as usize, CLASS));
    }
    assert!(!central.has_excess(CLASS, 5), "no slot of the new spans was free all through epoch 4");
}

#[test]
fn more_slots_than_caches_hold_are_excess_at_once() {
    let map = map();
    let info = info(CLASS);
    let span_bytes = (info.slots * info.slot_bytes) as usize;
    let mut central = Central::new();
    for number in 0..=MOST_CACHED_BYTES / span_bytes {
        assert!(!central.has_excess(CLASS, 0));
        central.add(small(&map, number * info.span_pages as usize, CLASS));
    }
    assert!(central.has_excess(CLASS, 0));
}

#[test]
fn a_central_takes_its_own_shards_slots_and_leaves_the_others_in_order() {
    let map = map();
    let mut centrals = [Central::new(), Central::new()];
    let info = info(CLASS);
    let all = info.slots as usize;
    // Two spans of the first shard and one span of the second shard. Some slots of each shard are out.
    for (number, shard) in [(0, 0), (2, 1), (1, 0)] {
        centrals[shard].add(span_in(&map, number, shard));
    }
    let first = take(&mut centrals[0], CLASS, all + all / 2);
    let second = take(&mut centrals[1], CLASS, all / 2);
    let free = centrals.each_ref().map(Central::free_slots);
    let mut emptied = SpanChain::default();
    assert_eq!(give(&mut centrals[0], 0, &map, &[], &mut emptied), Ok(Vec::new()));
    let (one, other) = (first[0], first[all]);
    let slots = [one, second[3], other, first[1], first[all + 1], second[0], second[1], first[2]];
    let left = give(&mut centrals[0], 0, &map, &slots, &mut emptied).unwrap();
    assert_eq!(left, [second[3], second[0], second[1]]);
    assert_eq!(centrals[0].free_slots(), free[0] + 5);
    assert_eq!(give(&mut centrals[0], 0, &map, &left, &mut emptied), Ok(left.clone()), "no slot is its own");
    assert_eq!(give(&mut centrals[1], 1, &map, &left, &mut emptied), Ok(Vec::new()));
    assert_eq!(centrals[1].free_slots(), free[1] + 3);
    assert_eq!(take(&mut centrals[1], CLASS, 3), [second[0], second[1], second[3]], "lowest first");
    // A misuse is found in its shard, whichever slots come before it.
    let misuse = give(&mut centrals[0], 0, &map, &[one, first[3], second[2]], &mut emptied);
    assert_eq!(misuse, Err(Misuse::DoubleFree(one)));
    let base = second[0];
    for foreign in [base + 1, base + all * info.slot_bytes as usize, base + (1 << 40), 1 << 50] {
        let misuse = give(&mut centrals[1], 1, &map, &[foreign], &mut emptied);
        assert_eq!(misuse, Err(Misuse::Foreign(foreign)), "{} behind the base", foreign.wrapping_sub(base));
    }
    assert!(emptied.pop().is_none());
}

#[test]
fn each_free_after_a_look_for_holes_queues_the_span_again() {
    let map = map();
    let mut central = Central::new();
    central.add(span_in(&map, 0, 0));
    let out = take(&mut central, CLASS, info(CLASS).slots as usize / 2);
    assert!(!central.has_new_holes());
    let mut emptied = SpanChain::default();
    for slot in &out[..2] {
        assert_eq!(give(&mut central, 0, &map, &[*slot], &mut emptied), Ok(Vec::new()));
        assert!(central.has_new_holes());
        let holes = central.take_holes(CLASS, 4096, (1, 0), &mut Visits::new());
        assert!(!central.has_new_holes());
        if let Some(holes) = holes {
            central.return_holes(CLASS, 4096, holes, true, &mut emptied).unwrap();
        }
        assert!(!central.has_new_holes(), "slots that come back from a release are no frees");
    }
}

#[test]
fn slots_come_from_another_shard_only_out_of_its_excess() {
    let centrals = Box::leak(Box::new(Centrals::new()));
    assert!(centrals.page_heaps.initialize());
    centrals.accounts().shards.double();
    let class = crate::size_class::class_of(1024, 8).unwrap();
    let places = [const { AtomicUsize::new(0) }; 4];
    let shard_of = |places: &[AtomicUsize]| {
        let slot = places[places.len() - 1].load(Ordering::Relaxed);
        centrals.page_heaps.span_map.small_span(slot, class).unwrap().0.shard()
    };
    assert_eq!((centrals.refill(class, 0, &places), shard_of(&places)), (4, 0));
    assert_eq!((centrals.refill(class, 1, &places), shard_of(&places)), (4, 1), "made just now");
    while centrals.take_slots(class, 1, &places) != 0 {}
    let epoch = centrals.accounts().epoch();
    for later in 1..3 {
        centrals.centrals[0][class].lock().has_excess(class, epoch.wrapping_add(later));
    }
    assert_eq!((centrals.refill(class, 1, &places), shard_of(&places)), (4, 0), "not needed for an epoch");
}
