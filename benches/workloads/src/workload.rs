//! What a workload is: its name, its variants, its thread counts, how its process is watched, and the code.

use crate::outcome::Outcome;
use crate::scale::Scale;

/// One run: how many threads, how much, which variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Worker threads.
    pub threads: usize,
    /// Amount of work.
    pub scale: Scale,
    /// One of the workload's variants; empty when it has none.
    pub variant: &'static str,
}

/// Which thread counts a workload is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// One, one for each core, four for each core.
    All,
    /// One, and one for each core.
    UpToCores,
    /// One for each core (at least two), and four for each core.
    Parallel,
    /// One for each core (at least two).
    Cores,
}

/// The code of a workload that is elsewhere, with the workload's name.
pub type Supplied = (&'static str, fn(&Job) -> Outcome);

impl Workload {
    /// The function that runs it, found in this crate or among the `supplied`.
    pub fn function(&self, supplied: &[Supplied]) -> Option<fn(&Job) -> Outcome> {
        match self.code {
            Code::Here(run) => Some(run),
            Code::Elsewhere => supplied.iter().find(|entry| entry.0 == self.name).map(|entry| entry.1),
        }
    }

    /// Whether its code is in libraries that only some runners hold.
    pub fn is_real(&self) -> bool {
        matches!(self.code, Code::Elsewhere)
    }
}

impl Counts {
    /// The thread counts on a machine with so many cores.
    pub fn on(self, cores: usize) -> Vec<usize> {
        let cores = cores.max(2);
        match self {
            Counts::All => vec![1, cores, 4 * cores],
            Counts::UpToCores => vec![1, cores],
            Counts::Parallel => vec![cores, 4 * cores],
            Counts::Cores => vec![cores],
        }
    }
}

/// How a workload's processes are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wall time counts.
    Speed,
    /// It prints `marker`, then idles; memory is sampled from outside. Several can idle side by side.
    Idle,
    /// Memory is sampled from outside while it works on a schedule of its own.
    Paced,
    /// It works at full speed, frees all it has, prints `FREED_MARKER`, and idles. Time and memory both count.
    Program,
}

/// Where the code of a workload is.
#[derive(Clone, Copy)]
pub enum Code {
    /// In this crate.
    Here(fn(&Job) -> Outcome),
    /// In a crate with dependencies that this one should not have. The runner knows it by the workload's name.
    Elsewhere,
}

/// The line by which a process says that sampling should start.
pub const MARKER: &str = "watch";

/// The line by which a process says that it has freed all it had.
pub const FREED_MARKER: &str = "freed";

/// The line by which a process says that sampling should end.
pub const END_MARKER: &str = "enough";

/// A workload.
pub struct Workload {
    /// Name on the command line and in the tables.
    pub name: &'static str,
    /// What it does, for the table's legend.
    pub about: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// Variants; a single empty name when there are none.
    pub variants: &'static [&'static str],
    /// Thread counts.
    pub counts: Counts,
    /// How it is watched.
    pub kind: Kind,
    /// The code that runs it.
    pub code: Code,
}

/// The variants of a workload that has none.
pub const PLAIN: &[&str] = &[""];
