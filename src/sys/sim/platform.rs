//! The rest of the platform, simulated. Time stands still unless a model moves the clock.
//!
//! Locks: none.

use super::SIM;
use crate::sys::held::{Rank, assert_none_held, assert_only_held};

/// The kernel's page size.
pub mod page {
    /// 4 KiB.
    pub fn os_page_bytes() -> usize {
        4096
    }
}

/// The process's own limits.
pub mod limits {
    /// There is none.
    pub fn address_space_share() -> usize {
        super::assert_only_held("prlimit64", &super::Rank::GROWTH);
        usize::MAX
    }

    /// There is none.
    pub fn data_share() -> usize {
        super::assert_only_held("prlimit64", &super::Rank::GROWTH);
        usize::MAX
    }
}

/// Transparent huge pages.
pub mod thp {
    /// When the kernel uses huge pages for anonymous memory.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Mode {
        /// Wherever they fit.
        Always,
        /// Where the program asks for them.
        Madvise,
        /// Nowhere.
        Never,
    }

    /// Never.
    pub fn mode() -> Mode {
        super::assert_none_held("prctl");
        Mode::Never
    }

    /// 2 MiB.
    pub fn huge_page_bytes() -> usize {
        super::assert_none_held("read");
        2 << 20
    }
}

/// The clock.
pub mod time {
    /// The clock of the model.
    pub fn monotonic_ns() -> u64 {
        super::SIM.tables().clock_ns
    }
}

/// Random bits.
pub mod random {
    /// The same bits in every execution, because a model must be repeatable.
    pub fn random_bits() -> u64 {
        super::assert_only_held("getrandom", &super::Rank::GROWTH);
        0x5eed
    }
}
