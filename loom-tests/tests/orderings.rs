//! A file that uses an atomic ordering weaker than SeqCst says in its header with what the ordering pairs.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn weak_orderings_are_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut silent = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let is_test =
            file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "sim")));
        // The text below the tests' heading is not part of the shipping code.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(&text);
        let code = code.split("#[cfg(all(test, not(loom)))]").next().unwrap_or(code);
        let weak = ["Relaxed", "Acquire", "Release", "AcqRel"];
        let uses = code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
            weak.iter().any(|name| line.contains(&format!("Ordering::{name}")) || line.contains(&format!(", {name})")))
        });
        let explained = text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("Orderings:"));
        if uses && !explained && !is_test {
            silent.push(file.strip_prefix(&root).unwrap().to_owned());
        }
    }
    assert!(silent.is_empty(), "no paragraph 'Orderings:' in the header of {silent:?}");
    assert!(files.len() > 50);
}
