//! Rules about how a file is written, for every Rust file of the repository.

use crate::source::{Source, Violation};

const HEADER_LINES: usize = 25;
const FILE_LINES: usize = 350;
/// Tests read from top to bottom, and their names are the map.
const TEST_FILE_LINES: usize = 500;

/// Files that are longer than they may be. Each must be.
pub const LONG: &[&str] = &[];

/// Words that must not stay, each in two parts so that this file does not hold them.
const LEFTOVERS: &[[&str; 2]] = &[["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"], ["for ", "now"]];

/// Unsafe blocks and impls without a SAFETY comment above.
pub fn safety(source: &Source) -> Vec<Violation> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut violations = Vec::new();
    for position in source.words("unsafe") {
        let rest = source.code[position + "unsafe".len()..].trim_start();
        let is_impl = rest.strip_prefix("impl").is_some_and(|after| after.starts_with([' ', '<']));
        if !rest.starts_with('{') && !is_impl {
            continue;
        }
        let violation = source.violation(position, "no SAFETY comment");
        if !is_argued(&lines, violation.line - 1) {
            violations.push(violation);
        }
    }
    violations
}

/// Looks on the line itself, then upward to the start of the statement and through the comment above it.
fn is_argued(lines: &[&str], line: usize) -> bool {
    if lines[line].contains("SAFETY:") {
        return true;
    }
    let mut above_statement = false;
    for text in lines[..line].iter().rev().map(|line| line.trim()) {
        let is_comment = text.starts_with("//");
        if is_comment && text.contains("SAFETY:") {
            return true;
        }
        let ends_statement = text.is_empty() || text.ends_with([';', '{', '}']);
        let is_attribute = text.starts_with("#[");
        if !is_comment && !is_attribute && (above_statement || ends_statement) {
            return false;
        }
        above_statement |= is_comment;
    }
    false
}

/// Files without a header, or with one that is too long.
pub fn header(source: &Source) -> Vec<Violation> {
    let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
    match lines {
        0 => vec![source.violation(0, "no //! header in the first line")],
        1..=HEADER_LINES => Vec::new(),
        // The crate's root is the front page of its documentation.
        _ if source.path == "src/lib.rs" => Vec::new(),
        _ => vec![source.violation(0, format!("a header of {lines} lines, more than {HEADER_LINES}"))],
    }
}

/// Files that have grown too long.
pub fn length(source: &Source) -> Vec<Violation> {
    if !is_long(source) || LONG.contains(&source.path.as_str()) {
        return Vec::new();
    }
    vec![source.violation(0, format!("{} lines, more than {}", source.text.lines().count(), lines_allowed(source)))]
}

/// Whether a file is longer than it may be, excused or not.
pub fn is_long(source: &Source) -> bool {
    source.text.lines().count() > lines_allowed(source)
}

fn lines_allowed(source: &Source) -> usize {
    let is_test = source.path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "loom-tests"));
    if is_test { TEST_FILE_LINES } else { FILE_LINES }
}

/// Notes to self, in code and in comments.
pub fn leftovers(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for word in LEFTOVERS.iter().map(|parts| parts.concat()) {
        for position in crate::source::words(&source.text, &word) {
            violations.push(source.violation(position, format!("\"{word}\"")));
        }
    }
    violations
}
