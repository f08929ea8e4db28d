//! The operating system of a loom model.
//!
//! Reservations are made-up addresses without memory behind them, because models never touch user memory. They start at
//! 64 MiB and end below the 2^30 that the heap can describe under loom, so page numbers stay small. Metadata is real,
//! zeroed memory. Instead of contents the simulation keeps a state for each page. A model says who owns a page: it
//! calls [`mark_owned`] for pages handed out and [`clear_owned`] for pages given back. The simulation panics when an
//! owned page is released, when a page is owned twice, and when a page becomes owned during its release. In a real
//! program these mistakes would corrupt memory.
//!
//! All state belongs to one execution of a model and is dropped with it, metadata included, so there is nothing to
//! reset. Fault injection is the exception: a model sets its faults, or calls `fault::reset`, at its start.
//!
//! | file | what it simulates |
//! |---|---|
//! | `vm` | address space and memory |
//! | `thread` | what a thread asks about itself |
//! | `process`, `fork` | fork and signals; the state of a fork |
//! | `platform` | the page size, huge pages, the clock, random bits |
//!
//! Locks: a std mutex. No thread holds it where loom may switch threads.

mod fork;
pub mod platform;
pub mod process;
pub mod thread;
pub mod vm;

use crate::units::{ADDRESS_BITS, PAGE_BYTES, Page, Run};
use core::ops::Range;
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::vec::Vec;

/// The first address: low page numbers stay unmapped, as in a real process.
const FIRST_ADDRESS: usize = 64 << 20;

/// The state of a page.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct PageState {
    /// Somebody owns the page.
    owned: bool,
    /// The page was owned and not released since, so its memory counts as resident.
    resident: bool,
    /// A release of the page is under way.
    releasing: bool,
}

/// The state of the simulation.
struct Tables {
    /// The next free address.
    next: usize,
    /// Reserved page numbers.
    reserved: Vec<Range<usize>>,
    /// Page numbers that growth has backed.
    backed: Vec<Range<usize>>,
    /// Pages that were ever owned or released.
    pages: BTreeMap<usize, PageState>,
    /// Allocations behind metadata: address and layout.
    metadata: Vec<(usize, Layout)>,
    clock_ns: u64,
    fork: fork::Fork,
}

/// One execution's operating system.
struct Sim {
    tables: Mutex<Tables>,
    /// Every operation on pages changes this word, so loom sees that the operations depend on each other and tries all
    /// their orders. Relaxed: the kernel's page tables order no memory accesses of ours.
    order: AtomicUsize,
}

loom::lazy_static! {
    static ref SIM: Sim = Sim::new();
}

impl Sim {
    fn new() -> Self {
        let tables = Tables {
            next: FIRST_ADDRESS,
            reserved: Vec::new(),
            backed: Vec::new(),
            pages: BTreeMap::new(),
            metadata: Vec::new(),
            clock_ns: 1,
            fork: fork::Fork::default(),
        };
        Self { tables: Mutex::new(tables), order: AtomicUsize::new(0) }
    }

    /// The tables. A panic ends the model, so the state after a panic does not matter.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A point where loom may switch threads. Loom tries all orders of such points.
    fn switch(&self) {
        self.order.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        for (address, layout) in self.tables().metadata.drain(..) {
            // SAFETY: the pair came from `alloc_zeroed`, and the execution that used the memory is over.
            unsafe { std::alloc::dealloc(core::ptr::with_exposed_provenance_mut(address), layout) };
        }
    }
}

impl Tables {
    fn reserve(&mut self, bytes: usize, align: usize) -> Option<usize> {
        let base = self.next.checked_next_multiple_of(align.max(PAGE_BYTES))?;
        let end = base.checked_add(bytes.checked_next_multiple_of(PAGE_BYTES)?)?;
        if end > 1 << ADDRESS_BITS {
            return None;
        }
        self.next = end;
        self.reserved.push(page_numbers(base, bytes));
        Some(base)
    }

    fn back(&mut self, pages: Range<usize>) {
        let inside = self.reserved.iter().any(|whole| contains(whole, &pages));
        assert!(inside, "sim: pages {pages:x?} were backed outside of a reservation");
        self.backed.push(pages);
    }

    fn begin_release(&mut self, pages: Range<usize>) {
        for number in pages {
            self.must_be_backed(number, "released");
            let page = self.pages.entry(number).or_default();
            assert!(!page.owned, "sim: page {number:#x} was released while it was owned");
            assert!(!page.releasing, "sim: page {number:#x} was released by two threads at once");
            page.releasing = true;
        }
    }

    fn end_release(&mut self, pages: Range<usize>) {
        for number in pages {
            // No thread can have owned the page in between: `mark_owned` would have panicked.
            self.pages.insert(number, PageState::default());
        }
    }

    fn must_be_backed(&self, number: usize, what: &str) {
        let backed = self.backed.iter().any(|range| range.contains(&number));
        assert!(backed, "sim: page {number:#x} was {what} without being backed");
    }
}

fn contains(whole: &Range<usize>, part: &Range<usize>) -> bool {
    whole.start <= part.start && part.end <= whole.end
}

fn page_numbers(base: usize, bytes: usize) -> Range<usize> {
    Page::containing(base).0..(base + bytes).div_ceil(PAGE_BYTES)
}

fn numbers(run: Run) -> Range<usize> {
    run.first.0..run.end().0
}

/// The user of the model takes pages. They must be backed, owned by nobody, and not in the middle of a release.
#[track_caller]
pub fn mark_owned(run: Run) {
    SIM.switch();
    let mut tables = SIM.tables();
    for number in numbers(run) {
        tables.must_be_backed(number, "owned");
        let page = tables.pages.entry(number).or_default();
        assert!(!page.owned, "sim: page {number:#x} was handed out twice");
        assert!(!page.releasing, "sim: page {number:#x} was handed out in the middle of its release");
        *page = PageState { owned: true, resident: true, releasing: false };
    }
}

/// The user of the model is about to give pages back. It must own them.
#[track_caller]
pub fn clear_owned(run: Run) {
    SIM.switch();
    let mut tables = SIM.tables();
    for number in numbers(run) {
        let page = tables.pages.entry(number).or_default();
        assert!(page.owned, "sim: page {number:#x} was given back by somebody who does not own it");
        page.owned = false;
    }
}

/// The number of resident pages of a run: pages that were owned and not released since.
pub fn resident_pages(run: Run) -> usize {
    let tables = SIM.tables();
    numbers(run).filter(|number| tables.pages.get(number).is_some_and(|page| page.resident)).count()
}

/// The number of all resident pages.
pub fn all_resident_pages() -> usize {
    SIM.tables().pages.values().filter(|page| page.resident).count()
}

/// Sets the clock that `time::monotonic_ns` shows. The clock starts at 1 and stands still between calls.
pub fn set_clock_ns(now: u64) {
    SIM.tables().clock_ns = now;
}
