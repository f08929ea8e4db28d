//! Raw rows: one line of JSON for the run, one for each allocator and profile, one for each process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A line of the raw file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Record {
    /// The machine and the settings; the first line.
    Header(Header),
    /// How a runner was built.
    Build(Build),
    /// One process.
    Run(Run),
    /// Something the tables should say.
    Note {
        /// The sentence.
        text: String,
    },
}

/// The machine, and how it was set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Header {
    /// Names and values, in the order of the table.
    pub lines: Vec<(String, String)>,
    /// Cores that may be used.
    pub cores: usize,
    /// Seconds a burst was watched.
    pub idle_seconds: f64,
    /// Whether CPU time is compared in place of wall time.
    #[serde(default)]
    pub cpu_time: bool,
}

/// How a runner was built.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Build {
    /// The allocator's name.
    pub allocator: String,
    /// The profile's name.
    pub profile: String,
    /// Versions of its packages.
    pub versions: String,
    /// Optimisation flags its C code was compiled with, or why there are none.
    pub flags: String,
    /// Why there is no runner.
    pub failure: Option<String>,
}

/// One process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// The round, from zero.
    pub round: usize,
    /// The turn in it, from zero: a process that is soon over is run more than once a round.
    #[serde(default)]
    pub turn: usize,
    /// The allocator's name.
    pub allocator: String,
    /// The profile's name.
    pub profile: String,
    /// The workload's name.
    pub workload: String,
    /// Its variant, or empty.
    pub variant: String,
    /// Worker threads.
    pub threads: usize,
    /// Why there are no figures.
    pub failure: Option<String>,
    /// The part of the machine's time that the host gave to others while the process ran, as the kernel counts stolen time.
    #[serde(default)]
    pub stolen: f64,
    /// Whether the host stole so much time that the process was repeated. Such a run does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discarded: bool,
    /// What the process measured.
    pub figures: BTreeMap<String, u64>,
    /// Seconds, resident bytes, and bytes of physical memory, sampled from outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<(f64, u64, u64)>,
    /// Seconds from the first sample on after which the process had freed all it had, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<f64>,
    /// How physical memory was measured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub physical: String,
}

impl Run {
    /// A figure as a number.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.get(name).map(|value| *value as f64)
    }

    /// The samples (seconds, resident bytes, physical bytes) without the benchmark's own tables. The tables are in mappings of
    /// their own and have the same size under every allocator.
    pub fn memory(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let tables = self.figure("idle_bookkeeping_bytes").unwrap_or(0.0);
        let without = move |bytes: u64| (bytes as f64 - tables).max(0.0);
        self.samples.iter().map(move |&(at, resident, physical)| (at, without(resident), without(physical)))
    }
}

/// The raw file while it grows. Each line is written before the next process starts.
#[derive(Debug)]
pub struct Writer(File);

impl Writer {
    /// Starts a new file.
    pub fn create(path: &Path) -> Result<Writer, String> {
        File::create(path).map(Writer).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Appends a line.
    pub fn write(&mut self, record: &Record) -> Result<(), String> {
        let mut line = serde_json::to_string(record).map_err(|error| error.to_string())?;
        line.push('\n');
        self.0.write_all(line.as_bytes()).map_err(|error| format!("cannot write the raw rows: {error}"))
    }
}

/// Reads a raw file.
pub fn read(path: &Path) -> Result<Vec<Record>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| format!("{}:{}: {error}", path.display(), index + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_a_round_trip() {
        let run = Run { workload: "replace".into(), samples: vec![(0.5, 1, 2)], ..Run::default() };
        let line = serde_json::to_string(&Record::Run(run)).unwrap();
        assert!(line.starts_with(r#"{"kind":"run""#), "{line}");
        let Record::Run(back) = serde_json::from_str(&line).unwrap() else { panic!("a run") };
        assert_eq!(back.samples, [(0.5, 1, 2)]);
    }
}
