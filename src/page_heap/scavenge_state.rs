//! The state of scavenging: how many passes began, and how far down the heap the current pass has come.
//!
//! Locks: the caller holds the scavenge lock around each function.

use crate::units::{Page, Run};

/// The state of scavenging.
pub struct ScavengeState {
    /// How many passes over the heap began so far.
    generation: u64,
    /// The lowest page released in this generation, if any page was released.
    low_water: Option<Page>,
}

impl ScavengeState {
    /// No pass has begun.
    pub const fn new() -> Self {
        Self { generation: 0, low_water: None }
    }

    /// Begins a pass: a new generation, in which no page is released yet.
    pub fn begin_pass(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.low_water = None;
    }

    /// Notes that a run is being released in this generation.
    pub fn note_release(&mut self, run: Run) {
        self.low_water = Some(self.low_water.map_or(run.first, |low| low.min(run.first)));
    }

    /// The generation and its low-water mark.
    pub fn progress(&self) -> (u64, Option<Page>) {
        (self.generation, self.low_water)
    }
}
