//! What a caller can do wrong with pages, as a value.
//!
//! The pure layer neither prints nor aborts. The heap turns a fault into one line on stderr and ends the process, because
//! each fault means that the state of the heap or of its caller is damaged already.
//!
//! Locks: none.
#![forbid(unsafe_code)]

use core::fmt;

use crate::units::Page;

/// The kinds of misuse that the page allocator recognizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The run is empty, or reaches past the address space the heap describes.
    BadRun,
    /// The page is not the heap's.
    NotMapped,
    /// The page is free already.
    DoubleFree,
    /// Growth over a page that the heap has already.
    AlreadyMapped,
    /// Growth by anything but whole chunks.
    NotWholeChunks,
    /// Growth where no [`Root`](super::Root) has been supplied.
    NoRoot,
    /// No [`RootTable`](super::RootTable) has been attached, or one has been attached already.
    WrongTable,
}

/// A misuse, and where it was seen. A call that returns a fault has changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What was wrong.
    pub kind: FaultKind,
    /// The lowest page at which it was seen.
    pub page: Page,
}

impl Fault {
    pub(super) const fn new(kind: FaultKind, page: Page) -> Self {
        Self { kind, page }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::BadRun => "bad run",
            FaultKind::NotMapped => "page not mapped",
            FaultKind::DoubleFree => "double free of page",
            FaultKind::AlreadyMapped => "growth over mapped page",
            FaultKind::NotWholeChunks => "growth by part of a chunk",
            FaultKind::NoRoot => "growth without a root",
            FaultKind::WrongTable => "no root table, or a second one",
        };
        write!(f, "{what} at {:#x}", self.page.address())
    }
}
