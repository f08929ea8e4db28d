//! Where the comparison finds the repository and puts what it makes.

use std::path::{Path, PathBuf};

use super::options::Options;

/// The file of raw rows in an output directory.
pub const RAW: &str = "raw.jsonl";

/// Where everything is.
#[derive(Debug)]
pub struct Places {
    /// The repository.
    pub root: PathBuf,
    /// Output: raw rows, tables, plots.
    pub output: PathBuf,
    /// Target directory of the runners.
    pub build: PathBuf,
    /// The runners themselves.
    pub binaries: PathBuf,
    /// Shared libraries that the machine does not have installed.
    pub libraries: PathBuf,
}

impl Places {
    /// The places that the options name, or the usual ones.
    pub fn new(options: &Options) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a repository").to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let compare = target.join("compare");
        Places {
            root,
            output: options.output.clone().unwrap_or_else(|| compare.clone()),
            build: compare.join("build"),
            binaries: compare.join("bin"),
            libraries: compare.join("lib"),
        }
    }
}
