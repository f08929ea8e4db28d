//! Rules about what the library's code may mention where.

use crate::source::{Source, Violation, is_name, within};

/// A dependency, and the only folders or files of `src` that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("libc::", &["src/sys"]),
    ("core::sync", &["src/sync"]),
    ("std::sync", &["src/sync", "src/sys/sim"]),
    // The model checker's mutex and thread locals have no counterpart that `sync` could switch to.
    ("loom::", &["src/sync", "src/lock/loom_lock", "src/sys/held", "src/sys/sim"]),
    // What happens once a process is `global`'s business.
    ("spin::", &["src/sync", "src/global"]),
];

/// Statics outside `global`: file, name, and the reason why it cannot be there.
pub const STATICS: &[(&str, &str, &str)] = &[
    ("src/sys/env.rs", "environ", "the C library's, only declared here"),
    ("src/sys/stream.rs", "stderr", "the C library's, only declared here"),
    ("src/sys/page.rs", "BYTES", "what the kernel said once: the same for every heap"),
    ("src/sys/vm/release_many.rs", "SUPPORTED", "what the kernel said once: the same for every heap"),
    ("src/sys/vm/move_pages.rs", "UNCLEAN", "what the kernel showed once: the same for every heap"),
    ("src/sys/thread.rs", "SEVERAL", "what the kernel said once: the same for every heap"),
    ("src/sys/thread.rs", "OWN", "its address is a thread's number, where the thread pointer is not at hand"),
    ("src/sys/held.rs", "ASIDE", "the part of them that does not count in a fork handler"),
    ("src/sys/sim/process.rs", "SIGNAL", "the signal that will interrupt a model's thread"),
    ("src/sys/sim/thread.rs", "OWN", "a number for each thread of a model"),
    ("src/sys/held.rs", "HELD", "the lock ranks a thread holds, across all heaps; debug builds and models only"),
    ("src/sys/held.rs", "NESTED", "what models have seen nest, across their executions; models only"),
    ("src/sys/held.rs", "NESTED_BY_FORK", "what models have seen nest, across their executions; models only"),
    ("src/sys/sim/process.rs", "FORKS", "the simulated process table; models only"),
];

/// Modules that compute and nothing else.
const PURE: &[&str] =
    &["units", "size_class", "config", "pages", "pacing", "holes", "accounts::stats", "accounts::working_set"];

/// What allocates, or needs std.
const CONTAINERS: &[&str] = &[
    "Vec",
    "Box",
    "String",
    "Rc",
    "Arc",
    "HashMap",
    "HashSet",
    "BTreeMap",
    "BTreeSet",
    "VecDeque",
    "vec!",
    "format!",
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "extern crate alloc",
];

/// Dependencies named outside their home.
pub fn homes(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (name, homes) in HOMES {
        if homes.iter().any(|home| in_folder(source, home)) {
            continue;
        }
        for position in source.words(name) {
            // `crate::sync::loom::...` and the like are our own modules.
            let ours = source.code[..position].ends_with("::");
            if !ours && !within(&source.in_tests, position) {
                violations.push(source.violation(position, format!("{name} outside {}", homes.join(", "))));
            }
        }
    }
    violations
}

/// Statics outside `global`, thread locals included.
pub fn statics(source: &Source) -> Vec<Violation> {
    let unexcused = static_items(source)
        .into_iter()
        .filter(|(_, name)| !STATICS.iter().any(|(path, excused, _)| *path == source.path && excused == name));
    unexcused.map(|(position, name)| source.violation(position, format!("static {name} outside src/global"))).collect()
}

/// The statics of a file outside `global`, with their names.
pub fn static_items(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if in_folder(source, "src/global") {
        return found;
    }
    for position in source.words("static") {
        let rest = source.code[position + "static".len()..].trim_start();
        let rest = rest.strip_prefix("mut ").unwrap_or(rest).trim_start();
        let name: String = rest.chars().take_while(|character| is_name(*character as u8)).collect();
        let is_item = !name.is_empty() && rest[name.len()..].trim_start().starts_with(':');
        if is_item && !within(&source.in_tests, position) {
            found.push((position, name));
        }
    }
    found
}

/// Containers and printing outside tests and models.
pub fn containers(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for name in CONTAINERS {
        for position in source.words(name) {
            if !within(&source.in_tests_or_loom, position) {
                violations.push(source.violation(position, format!("{name} in the allocator's core")));
            }
        }
    }
    violations
}

/// Pure modules: the attribute in the module's root file, and no unsafe code in any of its files.
pub fn pure(source: &Source) -> Vec<Violation> {
    let module = source.module.join("::");
    let is_in = |pure: &&&str| module == **pure || module.starts_with(&format!("{pure}::"));
    let Some(pure) = PURE.iter().find(is_in) else { return Vec::new() };
    let mut violations: Vec<Violation> =
        source.words("unsafe").map(|position| source.violation(position, format!("unsafe in {pure}"))).collect();
    if module == *pure && !source.code.contains("#![forbid(unsafe_code)]") {
        violations.push(source.violation(0, format!("{pure} does not say #![forbid(unsafe_code)]")));
    }
    violations
}

/// Whether the file is `home.rs` or lies in the folder `home`.
fn in_folder(source: &Source, home: &str) -> bool {
    source.path.strip_prefix(home).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}
