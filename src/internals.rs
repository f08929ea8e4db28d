//! The parts of the allocator, for tests, models, benchmarks and fuzzing. Semantic versioning does not cover them.
//!
//! Locks: none.
#![allow(missing_docs, reason = "each module's face is documented where it lives")]

pub mod accounts {
    pub use crate::accounts::*;
}
pub mod caches {
    pub use crate::caches::*;
}
pub mod central {
    pub use crate::central::*;
}
pub mod config {
    pub use crate::config::*;
}
pub mod heap {
    pub use crate::heap::*;
}
pub mod holes {
    pub use crate::holes::*;
}
pub mod lock {
    pub use crate::lock::*;
}
pub mod pacing {
    pub use crate::pacing::*;
}
pub mod page_heap {
    pub use crate::page_heap::*;
}
pub mod pages {
    pub use crate::pages::*;
}
pub mod size_class {
    pub use crate::size_class::*;
}
pub mod span {
    pub use crate::span::*;
}
pub mod sync {
    pub use crate::sync::*;
}
pub mod sys {
    pub use crate::sys::*;
}
pub mod units {
    pub use crate::units::*;
}
#[cfg(not(loom))]
pub mod unwind {
    pub use crate::unwind::*;
}
