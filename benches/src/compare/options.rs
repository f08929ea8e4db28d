//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum, builder::PossibleValuesParser};
use neap_workloads::scale::Scale;
use neap_workloads::workloads;

use super::allocators;

/// How the runners are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Cargo's release profile: 16 codegen units, no LTO.
    Default,
    /// The same with thin LTO.
    Lto,
}

impl Profile {
    /// The name in tables and of the option.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Default => "default",
            Profile::Lto => "lto",
        }
    }

    /// Cargo's name of it in the runner's manifest.
    pub fn cargo_name(self) -> &'static str {
        match self {
            Profile::Default => "compare-default",
            Profile::Lto => "compare-lto",
        }
    }
}

/// Which workloads are run where none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Set {
    /// The workloads of this repository.
    Loads,
    /// Real code: libraries at work on generated input.
    Real,
    /// Both.
    All,
}

/// Measures neap against every peer: one process for each allocator and workload, interleaved, in several rounds.
#[derive(Clone, Debug, Parser)]
#[command(name = "compare", bin_name = "cargo bench -p neap-benches --bench compare --")]
pub struct Options {
    /// A quick look: a quarter of the work, 4 rounds, the default profile only
    #[arg(long)]
    pub quick: bool,

    /// Only these workloads (repeat, or separate with commas)
    #[arg(long = "workload", value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(workloads::ALL.iter().map(|workload| workload.name)))]
    pub workloads: Vec<String>,

    /// Which workloads, where none is named; real code takes some minutes more to build
    #[arg(long, value_name = "SET", default_value = "loads")]
    pub set: Set,

    /// Only these variants of a workload
    #[arg(long = "variant", value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(workloads::ALL.iter().flat_map(|workload| workload.variants).copied().filter(|name| !name.is_empty())))]
    pub variants: Vec<String>,

    /// Only these allocators (repeat, or separate with commas)
    #[arg(long = "allocator", value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(allocators::ALL.iter().map(|allocator| allocator.name)))]
    pub allocators: Vec<String>,

    /// Only these thread counts, in place of 1, one a core and four a core
    #[arg(long, value_name = "COUNT", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Vec<u16>,

    /// Only these profiles [default: both; with --quick: default]
    #[arg(long = "profile", value_name = "NAME", value_delimiter = ',')]
    pub profiles: Vec<Profile>,

    /// Rounds [default: 11; with --quick: 5; a second profile has every other one]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: Option<u16>,

    /// Start no further round once it would end later than this many minutes after the start [default: 60; with --quick: 6]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u16).range(1..=1440))]
    pub budget: Option<u16>,

    /// Compare CPU time in place of wall time: for a machine that is busy with something else
    #[arg(long)]
    pub cpu_time: bool,

    /// In a virtual machine, do not touch free memory before each process: its host may have taken it away
    #[arg(long)]
    pub cold: bool,

    /// Run nothing: make tables and plots of the raw rows that are there
    #[arg(long)]
    pub render: bool,

    /// Run nothing: say whether two runs agree within the spreads they print (output directories, or files of raw rows)
    #[arg(long, num_args = 2, value_names = ["ONE", "OTHER"], conflicts_with = "render")]
    pub agree: Vec<PathBuf>,

    /// Directory for raw rows, tables and plots [default: target/compare]
    #[arg(long, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,

    /// What cargo bench passes on its own
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// The amount of work.
    pub fn scale(&self) -> Scale {
        if self.quick { Scale::Quick } else { Scale::Full }
    }

    /// How many rounds.
    pub fn rounds(&self) -> usize {
        self.rounds.map_or(if self.quick { 4 } else { 9 }, usize::from)
    }

    /// Whether the speed rows of a profile run in that round. A second profile runs in every other round, because fewer readers
    /// look at it.
    pub fn is_speed_round(&self, round: usize, profile: Profile) -> bool {
        self.is_first(profile) || round.is_multiple_of(2)
    }

    /// Whether the rows that take seconds run in that round. They run in a few rounds, evenly spread.
    pub fn is_slow_round(&self, round: usize) -> bool {
        let (rounds, slow) = (self.rounds(), self.slow_rounds());
        (0..slow).any(|index| index * rounds / slow == round)
    }

    /// Whether that is the first of the profiles.
    pub fn is_first(&self, profile: Profile) -> bool {
        self.profiles().first() == Some(&profile)
    }

    /// Rounds of the workloads that take seconds by design. Their figures hardly vary. Three rounds are the fewest that give a
    /// spread.
    pub fn slow_rounds(&self) -> usize {
        self.rounds().min(if self.quick { 1 } else { 3 })
    }

    /// Minutes after which no round is started.
    pub fn budget_minutes(&self) -> u16 {
        self.budget.unwrap_or(if self.quick { 6 } else { 60 })
    }

    /// The profiles to build.
    pub fn profiles(&self) -> Vec<Profile> {
        match (self.profiles.is_empty(), self.quick) {
            (false, _) => self.profiles.clone(),
            (true, true) => vec![Profile::Default],
            (true, false) => vec![Profile::Default, Profile::Lto],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("compare").chain(line.split_whitespace()))
    }

    #[test]
    fn defaults() {
        let full = parse("--bench").unwrap();
        assert_eq!((full.rounds(), full.slow_rounds(), full.budget_minutes()), (9, 3, 60));
        assert_eq!(full.profiles(), [Profile::Default, Profile::Lto]);
        let quick = parse("--quick").unwrap();
        assert_eq!((quick.rounds(), quick.slow_rounds(), quick.scale()), (4, 1, Scale::Quick));
        assert_eq!(quick.profiles(), [Profile::Default]);
    }

    #[test]
    fn rounds_are_spread_over_the_run() {
        let due = |line: &str, is: fn(&Options, usize) -> bool| {
            let options = parse(line).unwrap();
            (0..options.rounds()).filter(|round| is(&options, *round)).collect::<Vec<_>>()
        };
        assert_eq!(
            due("", |options, round| options.is_speed_round(round, Profile::Default)),
            (0..9).collect::<Vec<_>>()
        );
        assert_eq!(due("", |options, round| options.is_speed_round(round, Profile::Lto)), [0, 2, 4, 6, 8]);
        assert_eq!(due("", |options, round| options.is_slow_round(round)), [0, 3, 6]);
        assert_eq!(due("--rounds 4", |options, round| options.is_slow_round(round)), [0, 1, 2]);
        assert_eq!(due("--quick", |options, round| options.is_slow_round(round)), [0]);
        let alone = due("--profile lto --rounds 3", |options, round| options.is_speed_round(round, Profile::Lto));
        assert_eq!(alone, [0, 1, 2]);
    }

    #[test]
    fn lists() {
        let options = parse("--workload replace,burst --workload pairs --allocator system --profile lto").unwrap();
        assert_eq!(options.workloads, ["replace", "burst", "pairs"]);
        assert_eq!(options.allocators, ["system"]);
        assert_eq!(options.profiles(), [Profile::Lto]);
    }

    #[test]
    fn bad_options_say_what_is_accepted() {
        for (line, part) in [
            ("--workload nonsense", "possible values: replace, pairs"),
            ("--allocator nonsense", "mimalloc3"),
            ("--profile fat", "possible values: default, lto"),
            ("--rounds 0", "not in 1..=100"),
            ("--rounds many", "invalid digit"),
            ("--threads 0", "not in 1..=1024"),
            ("--variant round", "possible values: handed, scattered"),
            ("--agree one", "2 values required"),
            ("--agree one other --render", "cannot be used with"),
            ("--nonsense", "unexpected argument '--nonsense'"),
        ] {
            let text = parse(line).unwrap_err().to_string();
            assert!(text.contains(part), "{line}: {text}");
        }
    }
}
