//! Tests of the look-ups against each other, and a span map for the tests of other modules.

use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed};

use super::region::REGION_PAGES;
use super::{REGION_METADATA_BYTES, SpanMap, TABLE_BYTES};
use crate::size_class::{CLASSES, info};
use crate::span::Span;
use crate::units::{PAGE_BYTES, Page, Run};

/// The region of the tests' pages.
pub const REGION: usize = 5;
/// The region's first page.
pub const FIRST: usize = REGION * REGION_PAGES;

fn zeroed(bytes: usize) -> NonNull<u8> {
    // SAFETY: the layout's size is not zero.
    NonNull::new(unsafe { alloc_zeroed(Layout::from_size_align(bytes, 4096).unwrap()) }).unwrap()
}

/// A map whose only region with metadata is [`REGION`]. Its memory is never freed.
pub fn map() -> SpanMap {
    let map = SpanMap::new();
    // SAFETY: the memory is zeroed, aligned, of the right size, and belongs to nobody else.
    unsafe {
        map.attach(zeroed(TABLE_BYTES));
        map.publish(REGION, zeroed(REGION_METADATA_BYTES));
    }
    map
}

/// A span of a class at a page of the region.
pub fn small(map: &SpanMap, page: usize, class: usize) -> Span {
    let run = Run { first: Page(FIRST + page), pages: info(class).span_pages as usize };
    // SAFETY: the tests use each page once, and the region has metadata.
    unsafe { map.create(run, Some(class)) }.unwrap()
}

/// The answer that `small_span` should give, found by way of the record.
fn slow_twin(map: &SpanMap, address: usize, class: usize) -> Option<(Span, usize)> {
    let span = map.lookup(address)?;
    let matches = span.state() == crate::span::STATE_SMALL && span.class() == class;
    matches.then(|| (span, span.base()))
}

fn same_everywhere(map: &SpanMap) {
    let edges = [0, 1, PAGE_BYTES - 1];
    let near = (0..100).chain(REGION_PAGES - 20..REGION_PAGES + 2).map(|page| FIRST + page);
    let far = [0, 1, FIRST - 1, FIRST + 2 * REGION_PAGES, (1 << 47) / PAGE_BYTES, usize::MAX / PAGE_BYTES];
    for page in near.chain(far) {
        for address in edges.map(|offset| page.wrapping_mul(PAGE_BYTES).wrapping_add(offset)) {
            for class in [0, 1, 2, 20, 40, CLASSES - 2, CLASSES - 1] {
                assert_eq!(
                    map.small_span(address, class),
                    slow_twin(map, address, class),
                    "{address:#x}, class {class}"
                );
            }
        }
    }
}

#[test]
fn small_spans_are_found_by_every_address_in_them_and_nothing_else_is() {
    let map = map();
    same_everywhere(&map);
    let mut spans = std::vec::Vec::new();
    // Neighbours, spans behind gaps, and a span at the region's end.
    let mut page = 3;
    for class in [0, 40, CLASSES - 1, 20, CLASSES - 1, 1] {
        spans.push(small(&map, page, class));
        page += info(class).span_pages as usize + class % 2;
    }
    spans.push(small(&map, REGION_PAGES - info(CLASSES - 1).span_pages as usize, CLASSES - 1));
    // SAFETY: the pages belong to nobody else.
    let large = unsafe { map.create(Run { first: Page(FIRST + 80), pages: 7 }, None) }.unwrap();
    same_everywhere(&map);
    for span in spans {
        assert_eq!(map.small_span(span.run().end().address() - 1, span.class()), Some((span, span.base())));
        // SAFETY: no slot of the span is out.
        unsafe { map.retire(span) };
        same_everywhere(&map);
    }
    // SAFETY: as above.
    unsafe { map.retire(large) };
    same_everywhere(&map);
}

#[test]
fn a_small_span_never_crosses_a_region() {
    let map = map();
    let pages = info(CLASSES - 1).span_pages as usize;
    assert!(pages > 1);
    let run = Run { first: Page(FIRST + REGION_PAGES - 1), pages };
    // SAFETY: the pages belong to nobody else.
    assert_eq!(unsafe { map.create(run, Some(CLASSES - 1)) }, None);
    same_everywhere(&map);
}

#[cfg(serves_c)]
#[test]
fn near_pages_have_the_number_of_their_tags_class() {
    let table: &super::FreeTable = Box::leak(Box::new(super::FreeTable::new()));
    let map = SpanMap::new();
    map.attach_free_table(table);
    let number = |page: usize, offset: usize| {
        // SAFETY: the call reads only the table, which no other thread writes.
        unsafe { table.push_number_at(Page(page).address() + offset) }
    };
    for page in [0, FIRST, usize::MAX >> 13] {
        assert_eq!(number(page, 0), None, "before there is a table: {page}");
    }
    // SAFETY: the memory is zeroed, aligned, of the right size, and belongs to nobody else.
    unsafe {
        map.attach(zeroed(TABLE_BYTES));
        for region in [REGION + 600, REGION + 600 - 448, REGION] {
            map.publish(region, zeroed(REGION_METADATA_BYTES));
        }
    }
    let first = (REGION + 600) * REGION_PAGES;
    let split = (0..CLASSES).find(|class| !crate::size_class::is_split(*class)).unwrap();
    for (page, class, expected) in [
        (first, 0, 1 + CLASSES),
        (first + REGION_PAGES - 20, split - 1, split + CLASSES),
        (first - 448 * REGION_PAGES, split, split + 1),
    ] {
        let run = Run { first: Page(page), pages: info(class).span_pages as usize };
        // SAFETY: the pages belong to nobody else, and their region has metadata.
        let span = unsafe { map.create(run, Some(class)) }.unwrap();
        for index in 0..run.pages {
            assert_eq!(number(page + index, 8), Some(expected));
        }
        assert_eq!(number(page + run.pages, 0), Some(0));
        // SAFETY: no slot is out.
        unsafe { map.retire(span) };
        assert_eq!(number(page, 0), Some(0));
    }
    assert_eq!(number(first - 448 * REGION_PAGES - 1, PAGE_BYTES - 1), None);
    assert_eq!(number(first + 65 * REGION_PAGES - 2, 0), Some(0));
    assert_eq!(number(first + 65 * REGION_PAGES - 1, 0), None);
    assert_eq!(number(usize::MAX >> 13, 0), None);
    // A span far from the first region has no entry.
    small(&map, 0, 3);
    assert_eq!(number(FIRST, 0), None);
}
