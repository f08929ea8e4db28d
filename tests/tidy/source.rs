//! One file under examination: its text, and the same text with comments and literals blanked out.
//!
//! The blanked text has the same bytes at the same places, so a position in one is a position in the other. It is what
//! the rules search: a word in a comment or in a message is not code.

use std::fmt;
use std::ops::Range;

/// A rule broken at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A Rust file.
pub struct Source {
    /// Path below the repository, with slashes.
    pub path: String,
    /// The module's path below the crate root (`["pages", "bitmap"]`); empty for the root and outside of `src`.
    pub module: Vec<String>,
    pub text: String,
    /// The text with comments and literals blanked out.
    pub code: String,
    /// Where the code is compiled for tests only.
    pub in_tests: Vec<Range<usize>>,
    /// Where the code is compiled for tests or for the model checker only.
    pub in_tests_or_loom: Vec<Range<usize>>,
}

impl Source {
    pub fn new(path: &str, module: &[&str], text: &str) -> Self {
        let code = blank(text);
        Self {
            path: path.into(),
            module: module.iter().map(|name| name.to_string()).collect(),
            text: text.into(),
            in_tests: conditional(&code, &["test"]),
            in_tests_or_loom: conditional(&code, &["test", "loom"]),
            code,
        }
    }

    /// The same, for a file whose `mod` line is itself for tests (or for tests and the model checker) only.
    pub fn within(mut self, tests: bool, tests_or_loom: bool) -> Self {
        let whole = Some(0..self.code.len());
        if tests {
            self.in_tests = Vec::from_iter(whole.clone());
        }
        if tests || tests_or_loom {
            self.in_tests_or_loom = Vec::from_iter(whole);
        }
        self
    }

    pub fn violation(&self, position: usize, what: impl Into<String>) -> Violation {
        let line = self.text.as_bytes()[..position].iter().filter(|byte| **byte == b'\n').count() + 1;
        Violation { path: self.path.clone(), line, what: what.into() }
    }

    /// The module that a place belongs to: the file's, and the inline modules around the place.
    pub fn module_at(&self, position: usize) -> Vec<String> {
        let mut module = self.module.clone();
        for start in self.words("mod") {
            let rest = self.code[start + "mod".len()..].trim_start();
            let name: String = rest.chars().take_while(|character| is_name(*character as u8)).collect();
            let open = self.code.len() - rest.len() + name.len();
            let open = open + self.code[open..].len() - self.code[open..].trim_start().len();
            let body = (self.code[open..].starts_with('{')).then(|| closing(&self.code, open)).flatten();
            if body.is_some_and(|end| (open..end).contains(&position)) {
                module.push(name);
            }
        }
        module
    }

    /// The positions at which `word` stands in the code by itself, not as a part of a longer name.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        words(&self.code, word)
    }
}

pub fn within(ranges: &[Range<usize>], position: usize) -> bool {
    ranges.iter().any(|range| range.contains(&position))
}

pub fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// See [`Source::words`].
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(position, _)| position).filter(move |&position| {
        let before = position.checked_sub(1).map(|index| bytes[index]);
        let after = bytes.get(position + word.len()).copied();
        // A quote in front is a lifetime, as in `'static`.
        let starts = before.is_none_or(|byte| !is_name(byte) && byte != b'\'') || !is_name(bytes[position]);
        let ends = after.is_none_or(|byte| !is_name(byte)) || word.ends_with(|last: char| !is_name(last as u8));
        starts && ends
    })
}

/// Replaces comments, strings and character literals by spaces; newlines stay.
pub fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => {
                at + bytes[at..].iter().take_while(|byte| **byte != b'\n').count()
            }
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if at == 0 || !is_name(bytes[at - 1]) || matches!(bytes[at - 1], b'b' | b'c') => {
                raw_string_end(bytes, at).unwrap_or(at)
            }
            b'\'' => character_end(text, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        let end = end.min(bytes.len());
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(out).expect("whole characters were replaced")
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start + 2, 1);
    while at < bytes.len() && depth > 0 {
        match bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    let quote = start + 1 + hashes;
    if bytes.get(quote) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let length = bytes[quote + 1..].windows(close.len()).position(|window| window == close)?;
    Some(quote + 1 + length + close.len())
}

/// The end of a character literal; none for a lifetime.
fn character_end(text: &str, start: usize) -> Option<usize> {
    let mut rest = text[start + 1..].char_indices();
    let (_, first) = rest.next()?;
    if first == '\\' {
        rest.next()?;
    }
    let limit = if first == '\\' { 12 } else { 1 };
    rest.take(limit).find(|(_, character)| *character == '\'').map(|(offset, _)| start + 1 + offset + 1)
}

/// The parts of the code under a `cfg` that asks for one of the names.
fn conditional(code: &str, names: &[&str]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (start, open) in code.match_indices("#[").chain(code.match_indices("#![")) {
        let inner_at = start + open.len();
        let Some(end) = closing(code, inner_at - 1) else { continue };
        let attribute: String = code[inner_at..end].split_whitespace().collect();
        let asked = attribute.strip_prefix("cfg(").is_some_and(|condition| asks_for(condition, names));
        if asked && open == "#![" {
            ranges.push(0..code.len());
        } else if asked {
            ranges.push(start..item_end(code, end + 1));
        }
    }
    ranges
}

/// Whether a condition holds only with, or also because of, one of the names; what stands under `not` does not count.
fn asks_for(condition: &str, names: &[&str]) -> bool {
    let mut rest = condition.to_string();
    while let Some(start) = words(&rest.clone(), "not").next() {
        let end = closing(&rest, start + 3).map_or(rest.len(), |end| end + 1);
        rest.replace_range(start..end, "");
    }
    names.iter().any(|name| words(&rest, name).next().is_some())
}

/// The position of the bracket that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code.as_bytes().get(open..)?.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(open + offset);
        }
    }
    None
}

/// The end of the item, field or statement that follows its attributes at `from`.
fn item_end(code: &str, from: usize) -> usize {
    const ITEMS: [&str; 15] = [
        "fn",
        "impl",
        "mod",
        "struct",
        "enum",
        "trait",
        "use",
        "static",
        "const",
        "unsafe",
        "extern",
        "type",
        "union",
        "macro_rules",
        "pub",
    ];
    let bytes = code.as_bytes();
    let mut at = from;
    loop {
        at += bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match code[at..].strip_prefix("#[") {
            Some(_) => at = closing(code, at + 1).map_or(code.len(), |end| end + 1),
            None => break,
        }
    }
    let first: String = code[at..].chars().take_while(|character| is_name(*character as u8)).collect();
    let is_item = ITEMS.contains(&first.as_str());
    while at < bytes.len() {
        match bytes[at] {
            b'{' => return closing(code, at).map_or(code.len(), |end| end + 1),
            b'(' | b'[' => at = closing(code, at).unwrap_or(code.len() - 1),
            b';' => return at + 1,
            b',' if !is_item => return at + 1,
            b'}' | b')' => return at,
            _ => {}
        }
        at += 1;
    }
    code.len()
}
