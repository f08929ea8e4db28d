//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Runs the same burst of small objects under the system allocator and under neap, and shows what each keeps afterwards.
#[derive(Parser, Clone)]
#[command(name = "rss_after_burst")]
pub struct Options {
    /// Size of the burst in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    pub mib: u64,

    /// How long the process stays idle after the burst
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,

    /// Percentage of the objects that stay
    #[arg(long, default_value_t = 2.0, value_name = "PERCENT", value_parser = percentage)]
    pub keep: f64,

    /// Where the objects that stay lie among the others
    #[arg(long, value_enum, default_value_t = Survivors::Scattered)]
    pub survivors: Survivors,

    /// Run one allocator only
    #[arg(long, value_enum)]
    pub only: Option<Allocator>,

    /// Where the plot goes [default: rss_after_burst.svg in the target directory]
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Print lines even where the output is a terminal
    #[arg(long)]
    pub plain: bool,
}

/// Where the survivors of the burst lie.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Survivors {
    /// Each object stays or goes by itself, at random
    Scattered,
    /// Objects that were allocated one after another stay together
    Clustered,
}

/// The allocators to compare.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Allocator {
    /// The C library's malloc
    System,
    /// This crate
    Neap,
}

impl Allocator {
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Neap => "neap",
        }
    }
}

impl Survivors {
    pub fn name(self) -> &'static str {
        match self {
            Self::Scattered => "scattered",
            Self::Clustered => "clustered",
        }
    }
}

fn percentage(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 100".into()),
    }
}
