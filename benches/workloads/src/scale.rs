//! How much work a run does.

use std::str::FromStr;

/// The size of a run. The shapes (sizes of objects and tables, mixes) stay the same. The number of operations changes, and
/// so does the length of workloads that follow a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The figures for the README.
    Full,
    /// For a quick look: a fraction of the operations.
    Quick,
    /// For tests: hardly any.
    Tiny,
}

impl Scale {
    /// `full` operations, or this scale's part of them (at least one).
    pub fn of(self, full: usize) -> usize {
        let part = match self {
            Scale::Full => 1,
            Scale::Quick => 4,
            Scale::Tiny => 400,
        };
        (full / part).max(1)
    }

    /// The value for this scale out of three.
    pub fn pick<T>(self, full: T, quick: T, tiny: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Quick => quick,
            Scale::Tiny => tiny,
        }
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.pick("full", "quick", "tiny")
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Scale::Full, Scale::Quick, Scale::Tiny]
            .into_iter()
            .find(|scale| scale.name() == text)
            .ok_or_else(|| format!("unknown scale `{text}`: accepted are full, quick, tiny"))
    }
}
