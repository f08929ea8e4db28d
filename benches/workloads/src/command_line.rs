//! The command line of a runner: one workload, once.

use std::process::ExitCode;

use crate::measure::{process, raw};
use crate::scale::Scale;
use crate::workload::{Job, Supplied};
use crate::workloads;

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Options {
    workload: &'static str,
    job: Job,
    cgroup: Option<String>,
}

/// Reads `--workload NAME [--variant NAME] [--threads N] [--scale full|quick|tiny] [--cgroup DIR]`.
fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let mut workload = None;
    let mut variant = String::new();
    let mut threads = 1;
    let mut scale = Scale::Full;
    let mut cgroup = None;
    let mut arguments = arguments.into_iter();
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{option}` needs a value"))?;
        match option.as_str() {
            "--workload" => workload = Some(value),
            "--variant" => variant = value,
            "--threads" => {
                threads = value
                    .parse()
                    .ok()
                    .filter(|count| (1..=1024).contains(count))
                    .ok_or_else(|| format!("`{value}` is no number of threads: accepted are 1 to 1024"))?;
            }
            "--scale" => scale = value.parse()?,
            "--cgroup" => cgroup = Some(value),
            other => {
                return Err(format!(
                    "unknown option `{other}`: accepted are --workload, --variant, --threads, --scale, --cgroup"
                ));
            }
        }
    }
    let known = || workloads::ALL.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
    let name = workload.ok_or_else(|| format!("--workload is needed: one of {}", known()))?;
    let workload =
        workloads::find(&name).ok_or_else(|| format!("unknown workload `{name}`: accepted are {}", known()))?;
    let variant =
        workload.variants.iter().find(|known| **known == variant).ok_or_else(|| {
            format!("`{name}` has no variant `{variant}`: accepted are {}", workload.variants.join(", "))
        })?;
    Ok(Options { workload: workload.name, job: Job { threads, scale, variant }, cgroup })
}

/// Runs what the process' arguments ask for. `supplied` is the code that this crate does not have.
pub fn main(supplied: &[Supplied]) -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Err(line) => {
            eprintln!("neap-runner: {line}");
            ExitCode::from(2)
        }
        Ok(options) => {
            if let Some(directory) = &options.cgroup
                && let Err(error) = process::join_cgroup(directory)
            {
                eprintln!("neap-runner: cannot join the cgroup {directory}: {error}");
                return ExitCode::FAILURE;
            }
            let workload = workloads::find(options.workload).expect("parsed from the same list");
            let Some(run) = workload.function(supplied) else {
                eprintln!(
                    "neap-runner: this runner was built without the code of `{}` (feature `real`)",
                    options.workload
                );
                return ExitCode::from(2);
            };
            let mut outcome = run(&options.job);
            let peak = process::peak_rss_bytes();
            outcome.set("peak_rss_bytes", peak);
            outcome.set("bookkeeping_bytes", raw::made_bytes() as u64);
            process::write_line(&outcome.to_json());
            ExitCode::SUCCESS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Options, String> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn good_options() {
        let options = of("--workload replace --threads 8 --scale quick").unwrap();
        assert_eq!(options.workload, "replace");
        assert_eq!(options.job, Job { threads: 8, scale: Scale::Quick, variant: "" });
        assert_eq!(of("--workload burst --variant scattered").unwrap().job.variant, "scattered");
    }

    #[test]
    fn code_is_here_or_supplied() {
        let here = workloads::find("pairs").unwrap();
        let elsewhere = workloads::find("json").unwrap();
        assert!(here.function(&[]).is_some() && !here.is_real());
        assert!(elsewhere.function(&[]).is_none() && elsewhere.is_real());
        assert!(elsewhere.function(&[("json", |_| crate::outcome::Outcome::default())]).is_some());
    }

    #[test]
    fn bad_options_say_what_is_accepted() {
        for (line, part) in [
            ("", "--workload is needed: one of replace"),
            ("--workload nonsense", "unknown workload `nonsense`: accepted are replace"),
            ("--workload replace --variant x", "`replace` has no variant `x`"),
            ("--workload replace --threads 0", "accepted are 1 to 1024"),
            ("--workload replace --scale big", "accepted are full, quick, tiny"),
            ("--fast 1", "unknown option `--fast`: accepted are --workload"),
            ("--workload", "`--workload` needs a value"),
        ] {
            let message = of(line).unwrap_err();
            assert!(message.contains(part), "{line}: {message}");
        }
    }
}
