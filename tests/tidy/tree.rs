//! Finds the files: the library's by following its `mod` lines, all others by walking the folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{Source, Violation, is_name, within};

/// The library's files, each knowing its module and whether it is compiled for tests only.
pub fn library(repository: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    follow(repository, Path::new("src/lib.rs"), &[], (false, false), &mut sources);
    assert!(sources.len() > 1, "src/lib.rs declares no modules: the scan has gone blind");
    sources
}

fn follow(repository: &Path, path: &Path, module: &[String], only: (bool, bool), sources: &mut Vec<Source>) {
    let text = fs::read_to_string(repository.join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let names: Vec<&str> = module.iter().map(String::as_str).collect();
    let source = Source::new(&slashed(path), &names, &text).within(only.0, only.1);
    let own_folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("lib.rs" | "mod.rs") => path.parent().expect("a file is in a folder").to_path_buf(),
        _ => path.with_extension(""),
    };
    for (position, name) in declarations(&source) {
        let only = (within(&source.in_tests, position), within(&source.in_tests_or_loom, position));
        let file = match path_attribute(&source, position) {
            Some(named) => path.parent().expect("a file is in a folder").join(named),
            None => {
                let flat = own_folder.join(format!("{name}.rs"));
                if repository.join(&flat).exists() { flat } else { own_folder.join(&name).join("mod.rs") }
            }
        };
        let module: Vec<String> = module.iter().cloned().chain([name]).collect();
        follow(repository, &file, &module, only, sources);
    }
    sources.push(source);
}

/// The `mod name;` lines of a file.
fn declarations(source: &Source) -> Vec<(usize, String)> {
    let declared = source.words("mod").filter_map(|position| {
        let rest = source.code[position + "mod".len()..].trim_start();
        let name: String = rest.chars().take_while(|character| is_name(*character as u8)).collect();
        let is_file = !name.is_empty() && rest[name.len()..].trim_start().starts_with(';');
        is_file.then_some((position, name))
    });
    declared.collect()
}

/// The file a `#[path = "..."]` right above the `mod` line names.
fn path_attribute(source: &Source, position: usize) -> Option<String> {
    let line_start = source.text[..position].rfind('\n').map_or(0, |newline| newline + 1);
    let above = source.text[..line_start].lines().next_back()?.trim();
    Some(above.strip_prefix("#[path = \"")?.strip_suffix("\"]")?.into())
}

/// Files of `src` that no `mod` line declares.
pub fn strays(repository: &Path) -> Vec<Violation> {
    let declared: BTreeSet<String> = library(repository).into_iter().map(|source| source.path).collect();
    let files = rust_files(repository, Path::new("src"));
    let strays = files.into_iter().map(|path| slashed(&path)).filter(|path| !declared.contains(path));
    strays.map(|path| Violation { path, line: 1, what: "declared by no `mod` line".into() }).collect()
}

/// Every Rust file of the repository.
pub fn all_rust(repository: &Path) -> Vec<Source> {
    let files = rust_files(repository, Path::new(""));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(repository.join(&path)).expect("a file that was just listed");
        Source::new(&slashed(&path), &[], &text)
    };
    files.into_iter().map(read).collect()
}

fn rust_files(repository: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(repository.join(folder)) else { return files };
    for entry in entries.map(|entry| entry.expect("a readable folder")) {
        let name = entry.file_name();
        let name = name.to_str().expect("file names are plain");
        let path = folder.join(name);
        if entry.path().is_dir() {
            // Build output and dot folders are not ours; a folder with a mark of its own is a build's or a scratch copy.
            let foreign =
                name.starts_with('.') || name.starts_with("target") || entry.path().join("CACHEDIR.TAG").exists();
            if !foreign {
                files.extend(rust_files(repository, &path));
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
