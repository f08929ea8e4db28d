//! The house rules as a test: layers, homes of dependencies, SAFETY comments, headers and sizes, by reading the text.
//!
//! Why text and not the compiler: most rules say what a file may mention, also in code that this build leaves out (another
//! architecture, the model checker's configuration), and no lint knows our layers. Each rule is a function over a `Source`.
//! `tidy/fixtures.rs` feeds every rule a text that breaks it, so a rule that has gone blind is noticed. The scan
//! understands comments, strings and `cfg`, and no types: a call of a method is for review.
//!
//! The table of layers is `tidy/layers.rs`: a new module needs a line there.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/fixtures.rs"]
mod fixtures;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/text_rules.rs"]
mod text_rules;
#[path = "tidy/tree.rs"]
mod tree;

use std::path::Path;

use source::Violation;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn report(rule: &str, violations: Vec<Violation>) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{rule}:\n  {}\n", lines.join("\n  "));
}

/// A rule on each file of `src`, in one test that names the rule.
macro_rules! on_the_library {
    ($($test:ident: $rule:path, $words:literal;)*) => {$(
        #[test]
        fn $test() {
            let sources = tree::library(repository());
            report($words, sources.iter().flat_map($rule).collect());
        }
    )*};
}

on_the_library! {
    imports_go_downward: layers::imports, "a module may import only from layers below its own (tests/tidy/layers.rs)";
    dependencies_stay_at_home: rules::homes, "one home for each dependency: libc in sys; atomics, loom and spin in sync";
    statics_are_in_global: rules::statics, "only `global` has statics (exceptions are listed in tests/tidy/rules.rs)";
    the_core_allocates_nothing: rules::containers, "an allocator must not allocate: no std containers outside tests";
    pure_modules_have_no_unsafe: rules::pure, "pure modules say #![forbid(unsafe_code)] and hold no unsafe code";
}

#[test]
fn excuses_are_used() {
    let sources = tree::library(repository());
    let stands = |path: &str, name: &str| {
        sources
            .iter()
            .any(|source| source.path == path && rules::static_items(source).iter().any(|item| item.1 == name))
    };
    for (path, name, _) in rules::STATICS {
        assert!(stands(path, name), "{path} has no static {name}: take it off the list in tests/tidy/rules.rs");
    }
    let unused = circles::unused_excuses(&sources, circles::KNOWN);
    assert!(unused.is_empty(), "they close no circle: take them off the list in tests/tidy/circles.rs: {unused:#?}");
    for path in text_rules::LONG {
        let is_long = sources.iter().any(|source| source.path == *path && text_rules::is_long(source));
        assert!(is_long, "{path} is not long: take it off the list in tests/tidy/text_rules.rs");
    }
}

#[test]
fn folders_hold_no_circles() {
    report(
        "the entries of a folder import each other in one direction",
        circles::circles(&tree::library(repository()), circles::KNOWN),
    );
}

#[test]
fn every_file_is_in_the_module_tree() {
    report("each file of src is declared by a `mod` line", tree::strays(repository()));
}

/// A rule on each Rust file of the repository.
macro_rules! on_every_file {
    ($($test:ident: $rule:path, $words:literal;)*) => {$(
        #[test]
        fn $test() {
            let sources = tree::all_rust(repository());
            assert!(sources.len() > 10, "the scan found only {} files", sources.len());
            report($words, sources.iter().flat_map($rule).collect());
        }
    )*};
}

on_every_file! {
    unsafe_is_argued: text_rules::safety, "an unsafe block or impl needs a SAFETY comment right above";
    files_have_headers: text_rules::header, "a file starts with a `//!` header of at most 25 lines";
    files_are_small: text_rules::length, "a file has at most 350 lines, one of tests 500";
    nothing_is_left_over: text_rules::leftovers, "no notes to self in the source";
}
