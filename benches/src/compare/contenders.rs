//! The runners that take part: one for each allocator and profile that the options ask for and that can be built.

use std::time::Instant;

use super::allocators::{self, Allocator};
use super::build::{self, Runner};
use super::options::{Options, Profile};
use super::places::Places;
use super::record::{Record, Writer};

/// The allocators that the options ask for.
fn chosen(options: &Options) -> Vec<&'static Allocator> {
    let wanted = |allocator: &&Allocator| {
        options.allocators.is_empty() || options.allocators.iter().any(|name| name == allocator.name)
    };
    allocators::ALL.iter().filter(wanted).collect()
}

/// A runner that was built.
pub struct Contender {
    /// The allocator.
    pub allocator: &'static Allocator,
    /// How its runner was built.
    pub profile: Profile,
    /// The runner.
    pub runner: Runner,
}

/// Builds all runners; every build is a raw row.
pub fn build_all(options: &Options, places: &Places, writer: &mut Writer) -> Result<Vec<Contender>, String> {
    eprintln!("building the runners (the first time takes some minutes)");
    // The profiles have directories of their own, so cargo can build them side by side.
    let built: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = options
            .profiles()
            .into_iter()
            .map(|profile| {
                scope.spawn(move || {
                    let build = |allocator: &'static Allocator| {
                        let start = Instant::now();
                        let (runner, record) = build::build(allocator, profile, places);
                        let how = record.failure.clone().unwrap_or_else(|| "built".into());
                        let seconds = start.elapsed().as_secs();
                        eprintln!("  {} {}: {how} ({seconds} s)", profile.name(), allocator.name);
                        (allocator, profile, runner, record)
                    };
                    chosen(options).into_iter().map(build).collect::<Vec<_>>()
                })
            })
            .collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("building does not panic")).collect()
    });
    let mut contenders = Vec::new();
    for (allocator, profile, runner, record) in built {
        writer.write(&Record::Build(record))?;
        contenders.extend(runner.map(|runner| Contender { allocator, profile, runner }));
    }
    if contenders.is_empty() {
        return Err("not one of the allocators could be built".into());
    }
    Ok(contenders)
}
