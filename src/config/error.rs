//! The one line about a wrong variable.
//!
//! Locks: none.

use core::fmt;

/// The names of all variables.
pub(super) const NAMES: [&str; 5] = ["NEAP_SCAVENGER", "NEAP_LIMIT", "NEAP_HARD_LIMIT", "NEAP_RETAIN_MAX", "NEAP_THP"];

/// A variable that was not applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfigError<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) problem: Problem,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    Unknown,
    NotAccepted { accepted: &'static str },
}

impl fmt::Display for ConfigError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            Problem::Unknown => {
                write!(f, "config: {} is unknown and ignored; did you mean {}?", Shown(self.name), nearest(self.name))
            }
            Problem::NotAccepted { accepted } => {
                write!(f, "config: {}=\"{}\" is ignored; accepted: {accepted}", Shown(self.name), Shown(self.value))
            }
        }
    }
}

impl core::error::Error for ConfigError<'_> {}

/// Foreign bytes, safe to print: only the first few, and no control characters.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 40;
        for byte in self.0.iter().take(MAX) {
            write!(f, "{}", if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' })?;
        }
        f.write_str(if self.0.len() > MAX { "..." } else { "" })
    }
}

/// The known name with the smallest edit distance.
fn nearest(name: &[u8]) -> &'static str {
    let mut best = (usize::MAX, NAMES[0]);
    for known in NAMES {
        let edits = edits(name, known.as_bytes());
        if edits < best.0 {
            best = (edits, known);
        }
    }
    best.1
}

/// The edit distance between `known` and the first 64 bytes of `name`, computed row by row over `known`.
fn edits(name: &[u8], known: &[u8]) -> usize {
    const MAX: usize = 64;
    let mut row = [0_usize; MAX + 1];
    let name = &name[..name.len().min(MAX)];
    for (at, cell) in row.iter_mut().enumerate() {
        *cell = at;
    }
    for (line, want) in known.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (at, have) in name.iter().enumerate() {
            let replaced = diagonal + usize::from(!have.eq_ignore_ascii_case(want));
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[name.len()]
}
