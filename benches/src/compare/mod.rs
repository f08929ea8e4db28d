//! One command that measures neap against every peer.
//!
//! The order of things: [`options`] are read, [`build`] makes the runners, [`schedule`] runs them (rounds outermost, allocators
//! in rotated order, [`process`] one by one), [`record`] keeps each raw row as a line of JSON, [`summary`] makes medians
//! and ratios of the rows, [`table`] and [`plot`] show them. `--render` starts at the raw rows of an earlier run, and
//! `--agree` compares what two runs would print.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

pub mod agree;
pub mod allocators;
pub mod build;
pub mod figures;
pub mod losses;
pub mod machine;
pub mod options;
pub mod plot;
pub mod process;
pub mod record;
pub mod sampling;
pub mod schedule;
pub mod statistics;
pub mod steal;
pub mod summary;
pub mod table;
pub mod text;
pub mod warm;

use options::Options;

/// Runs the comparison that the command line asks for.
pub fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("compare: {line}");
            ExitCode::FAILURE
        }
    }
}

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
}

impl Places {
    fn new(options: &Options) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a repository").to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let compare = target.join("compare");
        Places {
            root,
            output: options.output.clone().unwrap_or_else(|| compare.clone()),
            build: compare.join("build"),
            binaries: compare.join("bin"),
        }
    }
}

/// The file of raw rows in an output directory.
const RAW: &str = "raw.jsonl";

fn run(options: &Options) -> Result<(), String> {
    if let [one, other] = options.agree.as_slice() {
        return agree::run(one, other);
    }
    let places = Places::new(options);
    std::fs::create_dir_all(&places.output)
        .map_err(|error| format!("cannot make {}: {error}", places.output.display()))?;
    let raw = places.output.join(RAW);
    if !options.render {
        schedule::run(options, &places, &raw)?;
    }
    let mut records = record::read(&raw)?;
    if let Some(record::Record::Header(header)) = records.first_mut() {
        header.cpu_time |= options.cpu_time;
    }
    let summary = summary::Summary::new(&records);
    let text = table::render(&summary);
    let file = places.output.join("table.md");
    std::fs::write(&file, &text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    println!("{text}");
    let plots = plot::draw(&summary, &places.output)?;
    println!("raw rows: {}\ntables:   {}", raw.display(), file.display());
    for plot in plots {
        println!("plot:     {}", plot.display());
    }
    Ok(())
}
