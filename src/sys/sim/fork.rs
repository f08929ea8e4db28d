//! The state of a fork in a model, which the simulation holds and `process` changes.
//!
//! Locks: none.

#[derive(Clone, Copy, Default)]
pub(super) struct Fork {
    pub(super) planned: bool,
    pub(super) stage: Stage,
    /// The numbers of other threads that wait for a lock, and that have ended.
    pub(super) waiting: usize,
    pub(super) done: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Before,
    /// The handlers hold every lock.
    Held,
    /// In the child.
    Child,
}
