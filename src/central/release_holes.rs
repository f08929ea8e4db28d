//! The release of holes: OS pages of partly used spans that hold no live slot.
//!
//! The protocol is the protocol of pages (`page_heap::scavenge`). Under the central's lock the slots on a hole become
//! unavailable. The lock is dropped, and the holes are released. Then the slots come back, and the holes are marked as
//! released. This is possible because free slots are known outside the spans and free memory is never written. After a
//! burst with scattered survivors nearly all memory that can be given back is holes.
//!
//! Locks: central, one at a time; none during a release.

use core::ptr::NonNull;

use crate::lock::Lock;
use crate::page_heap::{Cuts, ReleaseOptions, Scavenged, pointer};
use crate::size_class::CLASSES;
use crate::sys;
use crate::units::Page;

use super::Centrals;
use super::class::Central;
use super::hole_queue::{Holes, Visits};
use super::lists::SpanChain;
use super::misuse::or_abort;

/// The most spans whose holes are taken in one critical section.
const SPANS: usize = if cfg!(loom) { 1 } else { 32 };
/// The most address ranges that are released in one call.
const RANGES: usize = if cfg!(loom) { 4 } else { 128 };

impl Centrals {
    /// Releases at least `wanted_bytes` of holes, or all holes. Only spans without a free in the last `age` ticks count.
    pub fn release_holes(&self, wanted_bytes: usize, age: u32, options: ReleaseOptions) -> Scavenged {
        let mut result = Scavenged { bytes: 0, exhausted: true };
        // Large slots first: their holes are long, so a call releases much.
        for class in (0..CLASSES).rev() {
            for centrals in &self.centrals[self.accounts().shards.all()] {
                loop {
                    if result.bytes >= wanted_bytes || options.is_spent() {
                        result.exhausted = false;
                        return result;
                    }
                    let (more, bytes) = self.release_holes_of(class, &centrals[class], age, options);
                    result.bytes += bytes;
                    if !more {
                        break;
                    }
                }
            }
        }
        result
    }

    /// Releases the holes of a few spans of a central. Returns whether the central may have more, and the bytes released.
    fn release_holes_of(
        &self,
        class: usize,
        central: &Lock<Central>,
        age: u32,
        options: ReleaseOptions,
    ) -> (bool, usize) {
        let os_page_bytes = self.accounts().os_page_bytes();
        let tick = self.accounts().counters.tick();
        let mut taken: [Option<Holes>; SPANS] = [None; SPANS];
        let mut spans = 0;
        let mut visits = Visits::new();
        {
            let mut central = central.lock();
            if !central.has_new_holes() {
                return (false, 0);
            }
            while spans < SPANS {
                let Some(holes) = central.take_holes(class, os_page_bytes, (tick, age), &mut visits) else { break };
                taken[spans] = Some(holes);
                spans += 1;
            }
        }
        if spans == 0 {
            return (visits.worth_another(), 0);
        }
        let mut done = 0;
        let mut bytes = 0;
        let mut released = [false; SPANS];
        while done < spans {
            let mut ranges = [(NonNull::dangling(), 0); RANGES];
            let mut cuts = Cuts::<{ 2 * RANGES }>::new();
            let mut count = 0;
            let first = done;
            while done < spans {
                let Some(holes) = taken[done] else { break };
                let needed = (holes.pages & !(holes.pages << 1)).count_ones() as usize;
                if count + needed > RANGES {
                    break;
                }
                count = self.collect_ranges(&holes, os_page_bytes, options, (&mut ranges, &mut cuts), count);
                done += 1;
            }
            // SAFETY: no slot on these OS pages is out, and nobody can take one until the slots are returned.
            let result = unsafe { sys::vm::release_many(&ranges[..count]) };
            self.page_heaps.after_release(&cuts, result.is_ok());
            if result.is_ok() {
                for index in first..done {
                    released[index] = true;
                    bytes += taken[index].map_or(0, |holes| holes.pages.count_ones() as usize * os_page_bytes);
                }
            } else {
                self.accounts().counters.add_refused_release();
            }
        }
        // The holes are counted before anybody can take their slots, so the counter never goes below zero.
        self.accounts().counters.add_holes(bytes);
        self.accounts().counters.add_released(bytes);
        let mut emptied = SpanChain::default();
        let mut result = Ok(());
        {
            let mut central = central.lock();
            for (holes, released) in taken.iter().flatten().zip(released) {
                result = result.and(central.return_holes(class, os_page_bytes, *holes, released, &mut emptied));
            }
        }
        or_abort(result);
        self.retire_all(emptied);
        (spans == SPANS || visits.worth_another(), bytes)
    }

    /// Adds the address ranges of a span's holes to `ranges`, which holds `count`. Returns the new count.
    fn collect_ranges(
        &self,
        holes: &Holes,
        os_page_bytes: usize,
        options: ReleaseOptions,
        (ranges, cuts): (&mut [(NonNull<u8>, usize)], &mut Cuts<{ 2 * RANGES }>),
        mut count: usize,
    ) -> usize {
        let base = holes.span.base();
        let mut rest = holes.pages;
        while rest != 0 {
            let first = rest.trailing_zeros();
            let pages = (rest >> first).trailing_ones();
            rest = if first + pages == 64 { 0 } else { rest >> (first + pages) << (first + pages) };
            let (start, bytes) = (base + first as usize * os_page_bytes, pages as usize * os_page_bytes);
            if options.split_huge_pages {
                for chunk in [start, start + bytes - 1].map(|at| Page::containing(at).chunk()) {
                    if self.page_heaps.may_be_huge(chunk) {
                        self.page_heaps.add_cuts(chunk, start, bytes, cuts);
                    }
                }
            }
            ranges[count] = (pointer(start), bytes);
            count += 1;
        }
        count
    }
}
