//! The runners that take part: one for each allocator, profile and content that the rows need and that can be built.

use std::time::Instant;

use super::allocators::{self, Allocator};
use super::build::{self, Content, Runner};
use super::options::{Options, Profile};
use super::places::Places;
use super::record::{Record, Writer};
use super::rows::Row;

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
    /// What its runner holds.
    pub content: Content,
    /// The runner.
    pub runner: Runner,
}

/// What the runners of a profile must hold for the rows. Real code runs in the first profile only, since linking it takes long.
fn contents(options: &Options, profile: Profile, rows: &[Row]) -> Vec<Content> {
    let mut contents = Vec::new();
    for content in [Content::Loads, Content::Real] {
        let is_needed = rows.iter().any(|row| row.content() == content);
        if is_needed && (content == Content::Loads || options.is_first(profile)) {
            contents.push(content);
        }
    }
    contents
}

/// Builds all runners that the rows need; every build is a raw row.
pub fn build_all(
    options: &Options,
    rows: &[Row],
    places: &Places,
    writer: &mut Writer,
) -> Result<Vec<Contender>, String> {
    eprintln!("building the runners (the first time takes some minutes)");
    // The profiles have directories of their own, so cargo can build them side by side.
    let built: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = options
            .profiles()
            .into_iter()
            .map(|profile| {
                scope.spawn(move || {
                    let contents = contents(options, profile, rows);
                    let mut built = Vec::new();
                    for (content, allocator) in
                        contents.iter().flat_map(|content| chosen(options).into_iter().map(move |one| (*content, one)))
                    {
                        let start = Instant::now();
                        let (runner, record) = build::build(allocator, profile, content, places);
                        let how = record.failure.clone().unwrap_or_else(|| "built".into());
                        let seconds = start.elapsed().as_secs();
                        eprintln!("  {} {}: {how} ({seconds} s)", record.profile, allocator.name);
                        built.push((allocator, profile, content, runner, record));
                    }
                    built
                })
            })
            .collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("building does not panic")).collect()
    });
    let mut contenders = Vec::new();
    for (allocator, profile, content, runner, record) in built {
        writer.write(&Record::Build(record))?;
        contenders.extend(runner.map(|runner| Contender { allocator, profile, content, runner }));
    }
    if contenders.is_empty() {
        return Err("not one of the allocators could be built".into());
    }
    Ok(contenders)
}
