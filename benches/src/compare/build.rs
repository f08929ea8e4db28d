//! Building the runners: one cargo call for each allocator and profile. If a peer does not build, the others still do.
//!
//! The C code of a peer must be optimised, otherwise the comparison is unfair. So the driver reads the output of the build
//! scripts: each compilation in it must have an optimisation level.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::allocators::Allocator;
use super::options::Profile;
use super::places::Places;
use super::record;

/// What a runner holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The workloads of this repository.
    Loads,
    /// Real code with its dependencies, too.
    Real,
}

/// A runner that can be run.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The executable.
    pub path: PathBuf,
    /// A library to preload.
    pub preload: Option<PathBuf>,
}

/// Builds the runner of an allocator. Without a runner, the record says why.
pub fn build(
    allocator: &Allocator,
    profile: Profile,
    content: Content,
    places: &Places,
) -> (Option<Runner>, record::Build) {
    let suffix = if content == Content::Real { ", real code" } else { "" };
    let mut record = record::Build {
        allocator: allocator.name.into(),
        profile: format!("{}{suffix}", profile.name()),
        versions: versions(allocator, &places.root.join("benches").join(allocator.manifest).join("Cargo.lock")),
        ..record::Build::default()
    };
    match try_build(allocator, profile, content, places) {
        Ok((runner, flags)) => {
            record.flags = flags;
            // The name behind the link tells the library's version.
            if let Some(library) = runner.preload.as_ref().and_then(|library| library.canonicalize().ok()) {
                record.versions.push_str(&format!(" ({})", library.display()));
            }
            (Some(runner), record)
        }
        Err(line) => {
            record.failure = Some(line);
            (None, record)
        }
    }
}

fn try_build(
    allocator: &Allocator,
    profile: Profile,
    content: Content,
    places: &Places,
) -> Result<(Runner, String), String> {
    let preload = match allocator.preload {
        Some(name) => Some(shared_library(name, &places.libraries).ok_or_else(|| {
            format!("{name} is neither installed nor in {} (see benches/peers.sh)", places.libraries.display())
        })?),
        None => None,
    };
    if allocator.nightly && content == Content::Real {
        // What does not build should not take the time to build real code's dependencies on another toolchain.
        cargo(allocator, profile, Content::Loads, places)?;
    }
    let messages = cargo(allocator, profile, content, places)?;
    let built = executable(&messages).ok_or("cargo named no executable")?;
    let suffix = if content == Content::Real { "-real" } else { "" };
    let path = places.binaries.join(format!("{}-{}{suffix}", allocator.name, profile.name()));
    std::fs::create_dir_all(&places.binaries)
        .and_then(|()| std::fs::copy(&built, &path))
        .map_err(|error| format!("cannot copy {} to {}: {error}", built.display(), path.display()))?;
    let flags = match allocator.compiles {
        None => String::new(),
        Some(package) => {
            let log = build_log(&messages, package).ok_or_else(|| format!("no build script of {package} ran"))?;
            let text = std::fs::read(&log).map_err(|error| format!("cannot read {}: {error}", log.display()))?;
            optimisation(&String::from_utf8_lossy(&text))?
        }
    };
    Ok((Runner { path, preload }, flags))
}

/// Runs cargo and gives its messages.
fn cargo(allocator: &Allocator, profile: Profile, content: Content, places: &Places) -> Result<Vec<Value>, String> {
    let mut command = if allocator.nightly {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly", "cargo"]);
        command.env_remove("RUSTC").env_remove("RUSTDOC").env_remove("RUSTUP_TOOLCHAIN");
        command
    } else {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    };
    let target = if allocator.nightly { places.build.join("nightly") } else { places.build.clone() };
    command
        .args([
            "build",
            "--bin",
            "neap-runner",
            "--message-format=json-render-diagnostics",
            "--profile",
            profile.cargo_name(),
        ])
        .arg("--manifest-path")
        .arg(places.root.join("benches").join(allocator.manifest).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        // The build scripts then print each compiler call, which is what `optimisation` reads.
        .env("CC_ENABLE_DEBUG_OUTPUT", "1")
        .stdin(Stdio::null());
    let real = (content == Content::Real).then_some("real");
    for feature in allocator.feature.into_iter().chain(real) {
        command.args(["--features", feature]);
    }
    let output = command.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(failure(&String::from_utf8_lossy(&output.stderr), allocator.nightly));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The line of cargo's complaint that says most.
fn failure(text: &str, nightly: bool) -> String {
    let line = text
        .lines()
        .filter(|line| line.contains("error"))
        .find(|line| line.contains("could not compile") || line.contains("failed to run custom build"))
        .or_else(|| text.lines().find(|line| line.contains("error")))
        .or_else(|| text.lines().last())
        .unwrap_or("cargo failed without a word");
    let on = if nightly { " (on nightly)" } else { "" };
    format!("does not build{on}: {}", line.trim().trim_start_matches("error: "))
}

fn executable(messages: &[Value]) -> Option<PathBuf> {
    messages.iter().rev().find_map(|message| message["executable"].as_str()).map(PathBuf::from)
}

/// The saved output of a package's build script.
fn build_log(messages: &[Value], package: &str) -> Option<PathBuf> {
    let directory = messages
        .iter()
        .filter(|message| message["reason"] == "build-script-executed")
        .filter(|message| message["package_id"].as_str().is_some_and(|id| id.contains(&format!("#{package}@"))))
        .find_map(|message| message["out_dir"].as_str())?;
    Some(Path::new(directory).parent()?.join("output"))
}

/// The optimisation levels of the compilations in a build script's output; an error when one has none.
fn optimisation(log: &str) -> Result<String, String> {
    let mut levels: Vec<String> = Vec::new();
    for line in log.lines() {
        let words: Vec<_> = line.split_whitespace().map(|word| word.trim_matches('"')).collect();
        let probe = words.iter().any(|word| word.contains("flag_check"));
        let source = |word: &&str| [".c", ".cc", ".cpp", ".cxx"].iter().any(|ending| word.ends_with(ending));
        if !words.contains(&"-c") || !words.iter().any(source) || probe {
            continue;
        }
        let level = words.iter().rev().find(|word| word.starts_with("-O")).copied().unwrap_or("no -O");
        if !levels.iter().any(|known| known == level) {
            levels.push(level.to_owned());
        }
    }
    if levels.is_empty() {
        return Err("its build script printed no compilation: cannot tell whether its C code is optimised".into());
    }
    if levels.iter().any(|level| level == "-O0" || level == "no -O") {
        return Err(format!("its C code is compiled without optimisation ({})", levels.join(", ")));
    }
    Ok(levels.join(", "))
}

/// Versions of an allocator's packages, from the runner's lock file.
fn versions(allocator: &Allocator, lock: &Path) -> String {
    let text = std::fs::read_to_string(lock).unwrap_or_default();
    let mut parts: Vec<String> =
        allocator.packages.iter().filter_map(|name| Some(format!("{name} {}", locked(&text, name)?))).collect();
    if !allocator.inside.is_empty() {
        parts.push(allocator.inside.to_owned());
    }
    parts.join(", ")
}

fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("\nname = \"{package}\"\n")))?;
    entry.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
}

/// The path of a shared library: in the directory `own`, or where the dynamic linker would find it.
fn shared_library(name: &str, own: &Path) -> Option<PathBuf> {
    let mine = own.join(name);
    if mine.exists() {
        return Some(mine);
    }
    let libraries = Path::new("/usr/lib").read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let directories = libraries.filter(|path| path.is_dir()).chain(["/usr/lib", "/usr/local/lib"].map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optimised_code_is_told_from_other() {
        let probe = r#"running: "cc" "-O0" "-o" "/x/flag_check" "-c" "/x/flag_check.c""#;
        let good = r#"running: "cc" "-O3" "-fPIC" "-o" "a.o" "-c" "a.c""#;
        let make = "cc -O3 -Wall -O2 -c -o b.o b.c";
        let bad = r#"running: "c++" "-O0" "-g" "-c" "rust.cc""#;
        let install = "/usr/bin/install -c -d /x/lib";
        assert_eq!(optimisation(&format!("{probe}\n{good}\n{make}\n{install}")).unwrap(), "-O3, -O2");
        assert!(optimisation(&format!("{good}\n{bad}")).unwrap_err().contains("without optimisation (-O3, -O0)"));
        assert!(optimisation("cc -c a.c").unwrap_err().contains("no -O"));
        assert!(optimisation(probe).unwrap_err().contains("no compilation"));
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock =
            "[[package]]\nname = \"mimalloc\"\nversion = \"0.1.52\"\n\n[[package]]\nname = \"mima\"\nversion = \"1\"\n";
        assert_eq!(locked(lock, "mimalloc"), Some("0.1.52"));
        assert_eq!(locked(lock, "malloc"), None);
    }

    #[test]
    fn complaints_are_one_line() {
        let text = "error[E1]: bad\n --> x\nerror: could not compile `ferroc` (lib) due to 19 previous errors\n";
        assert_eq!(
            failure(text, true),
            "does not build (on nightly): could not compile `ferroc` (lib) due to 19 previous errors"
        );
        assert_eq!(failure("", false), "does not build: cargo failed without a word");
    }
}
