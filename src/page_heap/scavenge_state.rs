//! The scavenger's own state, under a lock of its own. The lock also orders the claims of chunks.
//!
//! Locks: the caller holds the scavenge lock around each function.

/// The state of scavenging.
pub struct ScavengeState {
    /// How many passes over the heap began so far.
    generation: u64,
}

impl ScavengeState {
    /// No pass has begun.
    pub const fn new() -> Self {
        Self { generation: 0 }
    }

    /// Begins a pass.
    pub fn begin_pass(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// How many passes began.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}
