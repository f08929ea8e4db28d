//! Configuration: the `NEAP_*` variables, and the limits of the cgroup.
//!
//! The variables are few on purpose. The policy finds out how long to keep memory and how fast to release it, so
//! neither is a setting. A wrong value or an unknown name yields one clear line and leaves the default: a typing error
//! must not end the program, and must not silently change what its user asked for.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the settings, and their values |
//! | `size` | sizes as users write them |
//! | `error` | the line about a wrong variable |
//! | `cgroup`, `path` | the limits of the process's cgroup, and paths without allocation |
//!
//! Invariants: (1) any bytes are accepted as input, and nothing panics or allocates; (2) [`Config::DEFAULT`] is a
//! constant, because an allocator is configured before `main` or never.
//!
//! Locks: none. The module reads no environment and no file; the caller passes texts or a reader.
#![forbid(unsafe_code)]

pub mod cgroup;
mod error;
mod path;
mod size;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use size::parse_size;

use error::Problem;

/// What a user may set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// `NEAP_SCAVENGER`: whether the background thread may run. Without it frees and growth do a part of its work.
    pub scavenger: bool,
    /// `NEAP_LIMIT`: near this much memory, free memory is released at once.
    pub limit: Limit,
    /// `NEAP_HARD_LIMIT`: the heap never maps more. Allocations fail instead.
    pub hard_limit_bytes: Option<u64>,
    /// `NEAP_RETAIN_MAX`: free memory beyond this is released, whatever the demand was.
    pub retain_max_bytes: Option<u64>,
    /// `NEAP_THP`: use of transparent huge pages.
    pub huge_pages: HugePages,
}

/// Where the soft memory limit comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// No limit.
    None,
    /// The limit of the process's cgroup, if there is one.
    Cgroup,
    /// A number of bytes.
    Bytes(u64),
}

/// Use of transparent huge pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HugePages {
    /// The heap asks for them once it is larger than a MiB.
    Auto,
    /// The heap asks for them from the first object on.
    On,
    /// The heap refuses them.
    Off,
}

/// The prefix of all names.
const PREFIX: &[u8] = b"NEAP_";

impl Config {
    /// The configuration without variables.
    pub const DEFAULT: Self = Self {
        scavenger: true,
        limit: Limit::Cgroup,
        hard_limit_bytes: None,
        retain_max_bytes: None,
        huge_pages: HugePages::Auto,
    };

    /// Applies one variable of the environment. A name without the prefix `NEAP_` is ignored. An empty value of a known name is ignored, too.
    /// An error leaves the setting as it was.
    pub fn apply<'a>(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), ConfigError<'a>> {
        if !name.starts_with(PREFIX) {
            return Ok(());
        }
        let value = value.trim_ascii();
        let wrong = |accepted| ConfigError { name, value, problem: Problem::NotAccepted { accepted } };
        let size_or_none = || match value {
            v if v.eq_ignore_ascii_case(b"none") => Ok(None),
            v => parse_size(v).map(Some).ok_or_else(|| wrong("a size like 512M or 2GiB, or none")),
        };
        match name {
            b"NEAP_SCAVENGER" | b"NEAP_LIMIT" | b"NEAP_HARD_LIMIT" | b"NEAP_RETAIN_MAX" | b"NEAP_THP"
                if value.is_empty() => {}
            b"NEAP_SCAVENGER" => self.scavenger = switch(value).ok_or_else(|| wrong("on or off"))?,
            b"NEAP_LIMIT" => {
                self.limit = match value {
                    v if v.eq_ignore_ascii_case(b"none") => Limit::None,
                    v if v.eq_ignore_ascii_case(b"cgroup") => Limit::Cgroup,
                    v => {
                        let bytes = parse_size(v).filter(|bytes| *bytes > 0);
                        Limit::Bytes(bytes.ok_or_else(|| wrong("a size like 512M or 2GiB, cgroup, or none"))?)
                    }
                }
            }
            b"NEAP_HARD_LIMIT" => self.hard_limit_bytes = size_or_none()?,
            b"NEAP_RETAIN_MAX" => self.retain_max_bytes = size_or_none()?,
            b"NEAP_THP" => {
                self.huge_pages = match value {
                    v if v.eq_ignore_ascii_case(b"auto") => HugePages::Auto,
                    v => match switch(v) {
                        Some(true) => HugePages::On,
                        Some(false) => HugePages::Off,
                        None => return Err(wrong("auto, on or off")),
                    },
                }
            }
            _ => return Err(ConfigError { name, value, problem: Problem::Unknown }),
        }
        Ok(())
    }
}

fn switch(value: &[u8]) -> Option<bool> {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if is("on") || is("1") || is("yes") || is("true") {
        Some(true)
    } else if is("off") || is("0") || is("no") || is("false") {
        Some(false)
    } else {
        None
    }
}
