//! The modes of the policy: what kind of process it is at the moment.
//!
//! Locks: none.

/// The state of the process at a tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Busy,
    Quiet,
    Pressure,
}
