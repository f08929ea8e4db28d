//! What a scavenge may do, and what it did.
//!
//! Locks: none.

use crate::sys;

/// What a scavenge may release, and how much CPU time it may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReleaseOptions {
    /// Whether it may release from dense chunks on huge pages.
    pub include_dense: bool,
    /// Whether it may release a part of a huge page, which splits the huge page. Otherwise a huge page is released whole or
    /// not at all.
    pub split_huge_pages: bool,
    /// The time of the thread's CPU clock at which it stops, if there is one.
    pub until_cpu_ns: Option<u64>,
}

impl ReleaseOptions {
    /// A scavenge that may release all free memory.
    pub const FULL: Self = Self { include_dense: true, split_huge_pages: true, until_cpu_ns: None };

    /// Whether the CPU time is spent.
    pub fn is_spent(&self) -> bool {
        self.until_cpu_ns.is_some_and(|until| sys::thread::thread_cpu_time_ns() >= until)
    }
}

/// What a scavenge did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Scavenged {
    /// Bytes that went back to the OS.
    pub bytes: usize,
    /// Whether it searched all there is and left nothing that it may release.
    pub exhausted: bool,
}
