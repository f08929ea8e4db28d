//! The layers, and the rule that imports go downward only.

use crate::source::{Source, Violation, is_name, within, words};

/// The layers from the bottom up. A module may import the modules of the rows below its own, and its own submodules.
/// Modules in one row know nothing of each other. A submodule may have a place of its own; otherwise it has its parent's.
pub const LAYERS: &[&[&str]] = &[
    &["units", "sync"],
    &["size_class", "config", "pages", "pacing", "accounts::stats", "accounts::working_set"],
    &["sys", "holes"],
    &["lock", "unwind"],
    &["accounts"],
    &["span"],
    &["page_heap"],
    &["central"],
    &["caches"],
    &["heap"],
    &["scavenger"],
    &["global", "elsewhere"],
    &["c_symbols"],
    &["internals"],
];

/// Macros live at the crate's root, whatever module defines them.
pub const MACROS: &[(&str, &str)] = &[("const_unless_loom", "sync"), ("repeat", "sync"), ("fatal", "sys")];

/// The row of the longest entry that is a prefix of the path, with the entry.
fn row(path: &[String]) -> Option<(usize, &'static str)> {
    let joined = path.join("::");
    LAYERS
        .iter()
        .enumerate()
        .flat_map(|(row, modules)| modules.iter().map(move |module| (row, *module)))
        .filter(|(_, module)| joined == *module || joined.starts_with(&format!("{module}::")))
        .max_by_key(|(_, module)| module.len())
}

/// Imports that go up or sideways, and modules without a place.
pub fn imports(source: &Source) -> Vec<Violation> {
    if source.module.is_empty() {
        return Vec::new();
    }
    let Some((own_row, own)) = row(&source.module) else {
        return vec![source.violation(0, format!("module {} is in no layer", source.module.join("::")))];
    };
    let mut violations = Vec::new();
    for (position, mut target) in paths(source) {
        if within(&source.in_tests, position) {
            continue;
        }
        if let Some((_, home)) = MACROS.iter().find(|(name, _)| target.first().is_some_and(|first| first == name)) {
            target = vec![home.to_string()];
        }
        // `use super::*` or `crate::Name`: the root itself is above everything.
        let name = if target.is_empty() { "the crate root".into() } else { target.join("::") };
        match row(&target) {
            Some((row, module)) if row < own_row || module == own => {}
            Some((_, module)) => {
                violations.push(source.violation(position, format!("{own} imports {name}; {module} is not below it")));
            }
            None => violations.push(source.violation(position, format!("{own} imports {name}, which is in no layer"))),
        }
    }
    violations
}

/// Every path in the code that starts at `crate` or `super`, from the crate's root, groups taken apart.
pub fn paths(source: &Source) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for start in ["crate", "super"] {
        for position in words(&source.code, start) {
            let before = source.code[..position].trim_end();
            // `pub(in crate::x)` and `pub(crate)` are about visibility; `super::super` is read from its first word.
            if before.ends_with("::") || before.ends_with("(in") || before.ends_with("pub(") {
                continue;
            }
            let mut rest = &source.code[position + start.len()..];
            let mut base = Vec::new();
            if start == "super" {
                base = source.module_at(position);
                base.pop();
                while let Some(further) = rest.strip_prefix("::super") {
                    base.pop();
                    rest = further;
                }
            }
            if let Some(tree) = rest.strip_prefix("::") {
                expand(tree, &base, &mut |path, _| found.push((position, path)));
            }
        }
    }
    found.sort();
    found
}

/// Reads one use tree or expression path, calls `leaf` with each full path and what follows it, and returns what follows all.
pub fn expand<'a>(tree: &'a str, base: &[String], leaf: &mut dyn FnMut(Vec<String>, &'a str)) -> &'a str {
    let tree = tree.trim_start();
    if let Some(mut rest) = tree.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let before = rest.len();
            rest = expand(rest, base, leaf).trim_start();
            if let Some(renamed) = rest.strip_prefix("as ") {
                rest = renamed.trim_start().trim_start_matches(|character: char| is_name(character as u8)).trim_start();
            }
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if rest.len() == before {
                return rest;
            }
        }
    }
    if let Some(rest) = tree.strip_prefix('*') {
        leaf(base.to_vec(), rest);
        return rest;
    }
    let name_end = tree.bytes().position(|byte| !is_name(byte)).unwrap_or(tree.len());
    let (name, rest) = tree.split_at(name_end);
    let mut path = base.to_vec();
    if !name.is_empty() && name != "self" {
        path.push(name.into());
    }
    match rest.strip_prefix("::") {
        // `Type::<T>::f`: the path to the module is complete.
        Some(further) if !further.starts_with('<') => expand(further, &path, leaf),
        _ => {
            leaf(path, rest);
            rest
        }
    }
}
