//! What a caller can do wrong with pages, told as a value.
//!
//! The pure layer neither prints nor aborts; the heap turns a fault into one line and ends the process, because each of
//! them means that the heap's state or its caller's is already damaged.
//!
//! Locks: none.
#![forbid(unsafe_code)]

use core::fmt;

use crate::units::Page;

/// The kinds of misuse that the page bookkeeping can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The run is empty, or reaches past the address space the heap describes.
    BadRun,
    /// The page is not the heap's.
    NotMapped,
    /// The page is free already.
    DoubleFree,
    /// Growth over a page that is the heap's already.
    AlreadyMapped,
    /// Growth by something else than whole chunks.
    NotWholeChunks,
    /// Growth where no [`Root`](super::Root) has been supplied.
    NoRoot,
    /// No [`RootTable`](super::RootTable) has been attached, or one has been attached already.
    WrongTable,
}

/// A misuse and where it was seen. Nothing has been changed when a call returns one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What was wrong.
    pub kind: FaultKind,
    /// The lowest page it was seen at.
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
