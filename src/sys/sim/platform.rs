//! The rest of the platform, simulated: nothing is set, nothing is readable, and time stands still unless a model moves it.

use super::SIM;
use crate::sys::held::{Rank, assert_none_held, assert_only_held};

/// The kernel's page size.
pub mod page {
    /// What the model has set, or 4096.
    pub fn os_page_bytes() -> usize {
        super::SIM.tables().os_page_bytes
    }
}

/// The environment.
pub mod env {
    use core::ffi::CStr;

    /// Nothing is set.
    ///
    /// # Safety
    /// None; the real one has requirements.
    pub unsafe fn get(name: &CStr) -> Option<&'static [u8]> {
        let _ = name;
        None
    }
}

/// Small kernel files.
pub mod file {
    use core::ffi::CStr;

    /// No file exists.
    pub fn read_small(path: &CStr, buffer: &mut [u8]) -> Option<usize> {
        super::assert_none_held("read");
        let _ = (path, buffer);
        None
    }
}

/// Fork handlers.
pub mod fork {
    /// A fork handler.
    pub type Handler = unsafe extern "C" fn();

    /// Models do not fork.
    pub fn at_fork(prepare: Handler, parent: Handler, child: Handler) -> bool {
        super::assert_none_held("pthread_atfork");
        let _ = (prepare, parent, child);
        true
    }
}

/// Barriers on other threads.
pub mod membarrier {
    /// There is no such call.
    pub fn register() -> bool {
        super::assert_none_held("membarrier");
        false
    }

    /// There is no such call.
    pub fn barrier() -> bool {
        super::assert_none_held("membarrier");
        false
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
    /// What the model has set.
    pub fn monotonic_ns() -> u64 {
        super::SIM.tables().clock_ns
    }
}

/// Random bits.
pub mod random {
    /// The same bits in every execution: a model must be repeatable.
    pub fn random_bits() -> u64 {
        super::assert_only_held("getrandom", &super::Rank::GROWTH);
        0x5eed
    }
}
