//! The rule that the entries of a folder import each other in one direction only.
//!
//! A folder's entries are its face (`mod.rs`, or the file with the folder's name), its other files, and its sub-folders with
//! all that is in them. An arrow leads from the entry that imports a name to the entry that defines the name. A name that a
//! face only hands on (`pub use child::Name`) is the child's: a face may show what its children offer. A child may import
//! what the face defines, as long as the face needs nothing of that child.
//!
//! Methods are no names: `impl Heap` in a child, and a call of that method in the face, are no arrows here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use crate::layers::{MACROS, expand, paths};
use crate::source::{Source, Violation, is_name, within, words};

/// Arrows that close a circle and may, with the reason. Each must be there and must close a circle.
pub const KNOWN: &[Excuse] = &[];

/// From, to, and the reason.
pub type Excuse = (&'static str, &'static str, &'static str);

/// From entry and to entry, with one place where the arrow is written.
pub type Arrows = BTreeMap<(String, String), Violation>;

/// A `use` item: where it stands, whether it hands its names on, and what it binds: a name to a full path.
struct Use {
    range: Range<usize>,
    is_public: bool,
    bound: Vec<(String, Vec<String>)>,
}

/// The circles of every folder that remain without the arrows in `excused`.
pub fn circles(sources: &[Source], excused: &[Excuse]) -> Vec<Violation> {
    let is_excused = |from: &str, to: &str| excused.iter().any(|excuse| (excuse.0, excuse.1) == (from, to));
    let mut found = Vec::new();
    for mut arrows in folders(sources).into_values() {
        arrows.retain(|(from, to), _| !is_excused(from, to));
        let mut reported = BTreeSet::new();
        for (from, to) in arrows.keys() {
            let Some(back) = way(&arrows, to, from) else { continue };
            let circle: Vec<&str> = [from.as_str()].into_iter().chain(back).collect();
            // Each entry once: the other arrows of a circle would tell the same again.
            if circle.iter().any(|entry| reported.contains(*entry)) {
                continue;
            }
            found.push(describe(&arrows, &circle));
            reported.extend(circle.iter().map(|entry| entry.to_string()));
        }
    }
    found
}

/// Excuses whose arrow is gone, or closes no circle any more.
pub fn unused_excuses(sources: &[Source], excused: &[Excuse]) -> Vec<Excuse> {
    let folders = folders(sources);
    let is_used = |excuse: &Excuse| {
        let is_another =
            |from: &str, to: &str| excused.iter().any(|other| other != excuse && (other.0, other.1) == (from, to));
        folders.values().any(|arrows| {
            let mut arrows = arrows.clone();
            arrows.retain(|(from, to), _| !is_another(from, to));
            arrows.contains_key(&(excuse.0.to_string(), excuse.1.to_string()))
                && way(&arrows, excuse.1, excuse.0).is_some()
        })
    };
    excused.iter().filter(|excuse| !is_used(excuse)).copied().collect()
}

/// The arrows between the entries of each folder, by the folder's module.
fn folders(sources: &[Source]) -> BTreeMap<String, Arrows> {
    let names = Names::new(sources);
    let mut folders: BTreeMap<String, Arrows> = BTreeMap::new();
    for source in sources {
        for (position, path) in names.imports(source) {
            let target = names.home(&path);
            let shared = source.module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            let entry = |module: &[String]| module[..module.len().min(shared + 1)].join("::");
            let (from, to) = (entry(&source.module), entry(&target));
            if from != to {
                let place = || source.violation(position, "");
                let folder = folders.entry(source.module[..shared].join("::")).or_default();
                folder.entry((from, to)).or_insert_with(place);
            }
        }
    }
    folders
}

/// The library's modules, and what the names in each stand for.
struct Names {
    modules: BTreeSet<Vec<String>>,
    /// For each module the names that its `use` items bind.
    bound: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl Names {
    fn new(sources: &[Source]) -> Self {
        let modules = sources.iter().map(|source| source.module.clone()).collect();
        let mut names = Self { modules, bound: BTreeMap::new() };
        for source in sources {
            let of_the_file = |item: &Use| source.module_at(item.range.start) == source.module;
            let bound = names.uses(source).into_iter().filter(of_the_file).flat_map(|item| item.bound).collect();
            names.bound.insert(source.module.clone(), bound);
        }
        names
    }

    /// The module that defines what a path names.
    fn home(&self, path: &[String]) -> Vec<String> {
        self.follow(path, 8)
    }

    fn follow(&self, path: &[String], patience: usize) -> Vec<String> {
        let length = (0..=path.len()).rev().find(|length| self.modules.contains(&path[..*length])).unwrap_or(0);
        let (module, rest) = path.split_at(length);
        let handed_on = rest.first().and_then(|name| self.bound.get(module)?.get(name));
        match handed_on {
            Some(further) if patience > 0 => {
                let path: Vec<String> = further.iter().chain(&rest[1..]).cloned().collect();
                self.follow(&path, patience - 1)
            }
            _ => module.to_vec(),
        }
    }

    /// The path of a module that `name` stands for at the top of a file: a child, or a module that a `use` item binds.
    fn module_named(&self, source: &Source, name: &str) -> Option<Vec<String>> {
        let child: Vec<String> = source.module.iter().cloned().chain([name.to_string()]).collect();
        if self.modules.contains(&child) {
            return Some(child);
        }
        let bound = self.bound.get(&source.module)?.get(name)?;
        self.modules.contains(bound).then(|| bound.clone())
    }

    /// Every path that a file's code needs, outside of tests.
    fn imports(&self, source: &Source) -> Vec<(usize, Vec<String>)> {
        let uses = self.uses(source);
        let in_uses: Vec<Range<usize>> = uses.iter().map(|item| item.range.clone()).collect();
        let mut found = Vec::new();
        for item in uses {
            for (name, path) in item.bound {
                let is_a_childs = item.is_public && path.starts_with(&source.module);
                // `mod name;` declares a module of the same name.
                let declares = |position: usize| source.code[..position].trim_end().ends_with("mod");
                let is_use = |position: usize| !within(&in_uses, position) && !declares(position);
                let is_used_here = || words(&source.code, &name).any(is_use);
                if !is_a_childs || is_used_here() {
                    found.push((item.range.start, path));
                }
            }
        }
        for (position, mut path) in paths(source) {
            if let Some((_, home)) = MACROS.iter().find(|(name, _)| path.first().is_some_and(|first| first == name)) {
                path.insert(0, home.to_string());
            }
            found.push((position, path));
        }
        for (end, _) in source.code.match_indices("::") {
            let start = source.code[..end].rfind(|c: char| !is_name(c as u8)).map_or(0, |before| before + 1);
            let is_first = !source.code[..start].ends_with([':', '.', '$']);
            if !is_first {
                continue;
            }
            if let Some(base) = self.module_named(source, &source.code[start..end]) {
                expand(&source.code[end + 2..], &base, &mut |path, _| found.push((end, path)));
            }
        }
        // What a `use` item imports was found with it.
        let is_of_a_use =
            |position: usize| in_uses.iter().any(|range| range.start < position && range.contains(&position));
        found.retain(|(position, _)| !is_of_a_use(*position) && !within(&source.in_tests, *position));
        found.sort();
        found
    }

    /// The `use` items of a file that bind names of this crate.
    fn uses(&self, source: &Source) -> Vec<Use> {
        let mut uses = Vec::new();
        for start in source.words("use") {
            let before = source.code[..start].trim_end();
            let Some(length) = source.code[start..].find(';') else { continue };
            let tree = source.code[start + "use".len()..start + length].trim_start();
            let module = source.module_at(start);
            let mut bound = Vec::new();
            let (base, tree) = self.base(&module, tree);
            let Some(base) = base else { continue };
            expand(tree, &base, &mut |path, after| {
                let renamed = after.trim_start().strip_prefix("as ").map(|alias| alias.trim_start());
                let alias = renamed.map(|alias| alias.chars().take_while(|c| is_name(*c as u8)).collect::<String>());
                if let Some(name) = alias.or_else(|| path.last().cloned()) {
                    bound.push((name, path));
                }
            });
            uses.push(Use {
                range: start..start + length,
                is_public: before.ends_with("pub") || before.ends_with(')'),
                bound,
            });
        }
        uses
    }

    /// What the first words of a `use` tree stand for, and the rest of the tree. Nothing for another crate.
    fn base<'a>(&self, module: &[String], tree: &'a str) -> (Option<Vec<String>>, &'a str) {
        let (first, rest) = tree.split_once("::").unwrap_or((tree, ""));
        match first.trim() {
            "crate" => (Some(Vec::new()), rest),
            "self" => (Some(module.to_vec()), rest),
            "super" => {
                let parent = &module[..module.len().saturating_sub(1)];
                if rest.starts_with("super") { self.base(parent, rest) } else { (Some(parent.to_vec()), rest) }
            }
            child => {
                let child: Vec<String> = module.iter().cloned().chain([child.to_string()]).collect();
                if self.modules.contains(&child) { (Some(child), rest) } else { (None, rest) }
            }
        }
    }
}

/// The entries after `from` on the shortest way to `to`.
fn way<'a>(arrows: &'a Arrows, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut reached: BTreeMap<&str, &str> = BTreeMap::from([(from, from)]);
    let mut next = VecDeque::from([from]);
    while let Some(entry) = next.pop_front() {
        if entry == to {
            let mut way = vec![entry];
            while reached[way[way.len() - 1]] != way[way.len() - 1] {
                way.push(reached[way[way.len() - 1]]);
            }
            way.reverse();
            return Some(way);
        }
        for (_, further) in arrows.keys().filter(|arrow| arrow.0 == entry) {
            if !reached.contains_key(further.as_str()) {
                reached.insert(further, entry);
                next.push_back(further);
            }
        }
    }
    None
}

/// A circle in words, with the place of each of its arrows.
fn describe(arrows: &Arrows, circle: &[&str]) -> Violation {
    let name = |entry: &str| if entry.is_empty() { "the crate root".to_string() } else { entry.to_string() };
    let place = |pair: &[&str]| &arrows[&(pair[0].to_string(), pair[1].to_string())];
    let mut what = format!("a circle: {}", name(circle[0]));
    for pair in circle.windows(2) {
        let Violation { path, line, .. } = place(pair);
        what.push_str(&format!(" -> {} ({path}:{line})", name(pair[1])));
    }
    let Violation { path, line, .. } = place(&circle[..2]);
    Violation { path: path.clone(), line: *line, what }
}
