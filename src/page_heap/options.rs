//! What a release may do, and what came of it.
//!
//! Locks: none.

use crate::sys;

/// What a scavenge may release, and how long it may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReleaseOptions {
    /// Release from dense chunks on huge pages too.
    pub include_dense: bool,
    /// Split huge pages for a partial release; without this they are released whole or not at all.
    pub split_huge_pages: bool,
    /// Stop when the thread's CPU clock has passed this, if given.
    pub until_cpu_ns: Option<u64>,
}

impl ReleaseOptions {
    /// Everything that is free.
    pub const FULL: Self = Self { include_dense: true, split_huge_pages: true, until_cpu_ns: None };

    /// Whether the time is over.
    pub fn is_spent(&self) -> bool {
        self.until_cpu_ns.is_some_and(|until| sys::thread::thread_cpu_time_ns() >= until)
    }
}

/// What a scavenge came to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Scavenged {
    /// Bytes given back.
    pub bytes: usize,
    /// The whole index was searched and nothing that may be released was left.
    pub exhausted: bool,
}
