//! What users see: the items that the documentation shows, with fields and methods of their own.
//!
//! Why by the documentation: what rustdoc shows without features is what semantic versioning covers. The expected list stands in
//! `public_face.txt`: who changes it changes the promise, and says so in CHANGELOG.md.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The values of an attribute in a page that begin with one of the prefixes.
fn values<'a>(page: &'a str, attribute: &str, prefixes: &[&str]) -> BTreeSet<&'a str> {
    let start = format!("{attribute}=\"");
    page.match_indices(&start)
        .filter_map(|(at, _)| page[at + start.len()..].split('"').next())
        .filter(|value| prefixes.iter().any(|prefix| value.starts_with(prefix)))
        .collect()
}

fn page(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// One line for each item, and one for each field and method of its own.
fn listing(folder: &Path) -> Vec<String> {
    let all = page(folder, "all.html");
    let kinds = ["struct.", "fn.", "enum.", "trait.", "macro.", "constant.", "static.", "type.", "union."];
    let index = page(folder, "index.html");
    let modules = values(&index, "href", &[""]).into_iter().filter(|link| link.ends_with("/index.html"));
    let mut lines: Vec<String> = modules
        .filter(|link| !link.starts_with(".."))
        .map(|link| format!("mod {}", link.trim_end_matches("/index.html")))
        .collect();
    // The list of all items links to each of them.
    let links = all.match_indices("<a href=\"").filter_map(|(at, start)| all[at + start.len()..].split('"').next());
    let items: BTreeSet<&str> = links
        .filter(|link| kinds.iter().any(|kind| link.split('/').next_back().is_some_and(|name| name.starts_with(kind))))
        .collect();
    for item in items {
        lines.push(item.trim_end_matches(".html").replace('.', " "));
        let text = page(folder, item);
        // Behind this heading stand implementations of traits, which are those of the traits.
        let own = text.split("id=\"trait-implementations\"").next().unwrap_or(&text);
        for part in values(own, "id", &["structfield.", "variant.", "method.", "associatedconstant."]) {
            lines.push(format!("    {}", part.replace('.', " ")));
        }
    }
    lines
}

#[test]
fn the_documentation_shows_what_is_promised_and_nothing_else() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("public-face");
    let status = Command::new(env!("CARGO"))
        .args(["doc", "--locked", "--offline", "--quiet", "--no-deps", "--package", "neap", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTDOCFLAGS")
        .status()
        .expect("cargo starts");
    assert!(status.success());
    let shown = listing(&target.join("doc/neap")).join("\n") + "\n";
    assert_eq!(shown, include_str!("public_face.txt"), "it is this now:\n{shown}");
}
