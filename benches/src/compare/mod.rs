//! One command that measures neap against every peer.
//!
//! The order of things: [`options`] are read, [`build`] makes the runners, [`schedule`] runs them (rounds outermost, allocators
//! in rotated order, [`process`] one by one), [`record`] keeps each raw row as a line of JSON, [`summary`] makes medians
//! and ratios of the rows, [`table`] and [`plot`] show them. `--render` starts at the raw rows of an earlier run, and
//! `--agree` compares what two runs would print.

use std::process::ExitCode;

use clap::Parser;

pub mod agree;
pub mod allocators;
pub mod build;
pub mod contenders;
pub mod figures;
pub mod losses;
pub mod machine;
pub mod metric;
pub mod options;
pub mod pace;
pub mod places;
pub mod plot;
pub mod process;
pub mod record;
pub mod row;
pub mod rows;
pub mod sampling;
pub mod schedule;
pub mod statistics;
pub mod steal;
pub mod summary;
pub mod table;
pub mod text;
pub mod warm;

use options::Options;
use places::{Places, RAW};

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
