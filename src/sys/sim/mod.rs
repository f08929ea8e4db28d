//! The operating system of a loom model.
//!
//! Reservations are made-up addresses from 64 MiB up, below the 2^30 that the heap can describe under loom: models never
//! touch user memory, so nothing stands behind them, and page numbers stay small. Metadata is real, zeroed memory.
//! Instead of contents the simulation keeps a state for each page, and a model tells it who owns what: pages that are
//! handed out are [`mark_owned`], pages that come back [`clear_owned`]. It panics when an owned page is released, owned
//! twice, or owned while its release is under way: the mistakes that would corrupt a real program.
//!
//! All state belongs to one execution of a model and is dropped with it, so there is nothing to reset; metadata is freed
//! then, too. (Fault injection is the exception: a model sets it, or calls `fault::reset`, at its start.)
//!
//! Locks: a std mutex that is never held across a point where loom may switch threads.

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

/// The first address handed out: low page numbers stay unmapped, as in a real process.
const FIRST_ADDRESS: usize = 64 << 20;

/// What is known of a page.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct PageState {
    /// Somebody holds it.
    owned: bool,
    /// It was owned, and not released since: its memory counts as resident.
    resident: bool,
    /// A release is under way.
    releasing: bool,
}

/// The tables.
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
    fork: process::Fork,
}

/// One execution's operating system.
struct Sim {
    tables: Mutex<Tables>,
    /// Changed by every operation on pages, so that loom sees that they depend on each other and tries all orders of
    /// them. Relaxed: the kernel's page tables order no memory accesses of ours.
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
            fork: process::Fork::default(),
        };
        Self { tables: Mutex::new(tables), order: AtomicUsize::new(0) }
    }

    /// The tables; a panic elsewhere has ended the model, so what it left behind does not matter.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A point where loom may switch threads, in an order it tries out against all other such points.
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
            // Nobody can have owned it in between: that panics there.
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

/// The model's user takes pages: they must be backed, owned by nobody, and not in the middle of a release.
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

/// The model's user is about to give pages back, which it must own.
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

/// How many pages of a run are resident: they were owned, and not released since.
pub fn resident_pages(run: Run) -> usize {
    let tables = SIM.tables();
    numbers(run).filter(|number| tables.pages.get(number).is_some_and(|page| page.resident)).count()
}

/// How many pages are resident in all.
pub fn all_resident_pages() -> usize {
    SIM.tables().pages.values().filter(|page| page.resident).count()
}

/// Sets the clock that `time::monotonic_ns` shows; it starts at 1 and stands still otherwise.
pub fn set_clock_ns(now: u64) {
    SIM.tables().clock_ns = now;
}
