//! The scavenger's own fields, under their own lock: how often it began a pass, and how far down the heap it has come.
//!
//! Locks: scavenge, around the whole.

use crate::units::{Page, Run};

/// The scavenger's own fields, under their own lock.
pub struct ScavengeState {
    /// Passes over the heap begun so far.
    generation: u64,
    /// The lowest page released in this generation, if any: how far down the heap the scavenger has come.
    low_water: Option<Page>,
}

impl ScavengeState {
    /// Nothing released yet.
    pub const fn new() -> Self {
        Self { generation: 0, low_water: None }
    }

    /// A pass begins: a new generation, in which nothing is released yet.
    pub fn begin_pass(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.low_water = None;
    }

    /// Pages of the run go into flight in this generation.
    pub fn note_release(&mut self, run: Run) {
        self.low_water = Some(self.low_water.map_or(run.first, |low| low.min(run.first)));
    }

    /// The generation and its low-water mark.
    pub fn progress(&self) -> (u64, Option<Page>) {
        (self.generation, self.low_water)
    }
}
