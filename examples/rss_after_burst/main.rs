//! What stays resident after a burst, under the system allocator and under neap.
//!
//! `cargo run --release --example rss_after_burst` fills 1 GiB with small objects, frees 98 % of them and then does
//! nothing for ten seconds, in one child process per allocator, one after the other. The children are this same binary;
//! the parent samples their RSS from outside, draws both curves, and ends with a table and a plot. `--help` lists the
//! options.

mod burst;
mod measure;
mod options;
mod proc;
mod report;
mod screen;
mod switch;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use options::{Allocator, Options};

#[global_allocator]
static GLOBAL: switch::Switch = switch::Switch::new();

fn main() -> ExitCode {
    let options = Options::parse();
    let is_child = switch::VARIABLE.to_str().is_ok_and(|name| std::env::var_os(name).is_some());
    let result = if is_child { burst::run(&options) } else { compare(&options) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rss_after_burst: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    let allocators = match options.only {
        Some(allocator) => vec![allocator],
        None => vec![Allocator::System, Allocator::Neap],
    };
    println!(
        "The same burst of {} MiB under {}; about {} s.\n",
        options.mib,
        allocators.iter().map(|allocator| allocator.name()).collect::<Vec<_>>().join(" and under "),
        allocators.len() as u64 * (options.seconds + 2)
    );
    let mut screen = screen::Screen::new(options);
    let mut runs = Vec::new();
    for allocator in allocators {
        let run = measure::run(allocator, options, |samples, step| screen.show(&runs, allocator, samples, step))?;
        runs.push(run);
    }
    report::print_table(&runs, options);
    println!("\nplot: {}", report::write_plot(&runs, options)?.display());
    Ok(())
}
