//! Each rule against a text that breaks it and against one that keeps it.

use crate::circles::{self, Excuse};
use crate::layers;
use crate::rules;
use crate::source::{Source, Violation, blank};
use crate::text_rules;

fn source(path: &str, text: &str) -> Source {
    let inner = path.strip_prefix("src/").unwrap_or("").trim_end_matches(".rs").trim_end_matches("/mod");
    let module: Vec<&str> = inner.split('/').filter(|name| !name.is_empty()).collect();
    Source::new(path, &module, text)
}

#[track_caller]
fn breaks(rule: fn(&Source) -> Vec<Violation>, path: &str, text: &str, lines: &[usize]) {
    let mut found: Vec<usize> = rule(&source(path, text)).iter().map(|violation| violation.line).collect();
    found.sort();
    assert_eq!(found, lines, "lines reported in {path}:\n{text}");
}

#[track_caller]
fn keeps(rule: fn(&Source) -> Vec<Violation>, path: &str, text: &str) {
    breaks(rule, path, text, &[]);
}

#[test]
fn blanking_leaves_code_and_positions() {
    let text =
        "let a = 'x'; // c\nlet b: &'static str = \"un\\\"safe\"; /* a /* b */\n c */ let c = r#\"q\"q\"#; b'\\''";
    let blanked = blank(text);
    assert_eq!(blanked.len(), text.len());
    assert_eq!(
        blanked.split_whitespace().collect::<Vec<_>>().join(" "),
        "let a = ; let b: &'static str = ; let c = ; b"
    );
    assert_eq!(blanked.matches('\n').count(), text.matches('\n').count());
}

#[test]
fn imports() {
    let rule = layers::imports;
    keeps(rule, "src/pages/tree.rs", "use crate::units::Page;\nuse super::bitmap::Bits;\nuse super::*;\n");
    breaks(rule, "src/pages/tree.rs", "use crate::units::Page;\nuse crate::heap::Heap;\n", &[2]);
    breaks(rule, "src/pages/tree.rs", "fn f() {\n    crate::sys::vm::release();\n}\n", &[2]);
    breaks(rule, "src/pages/tree.rs", "use super::super::pacing::Pacer;\n", &[1]);
    keeps(rule, "src/pages/tree.rs", "mod inner {\n    use super::super::bitmap::Bits;\n}\n");
    breaks(rule, "src/pages/tree.rs", "mod inner {\n    use super::super::super::pacing::Pacer;\n}\n", &[2]);
    breaks(rule, "src/pages/mod.rs", "use super::pacing::Pacer;\n", &[1]);
    breaks(rule, "src/lock/mod.rs", "use crate::{units, sync, heap::{self, Heap as H}};\n", &[1, 1]);
    breaks(rule, "src/heap/mod.rs", "use crate::Neap;\n", &[1]);
    breaks(rule, "src/nowhere.rs", "fn f() {}\n", &[1]);
    keeps(rule, "src/heap/mod.rs", "fn f() { crate::fatal!(\"heap\", \"x\") }\npub(in crate::heap) fn g() {}\n");
    keeps(rule, "src/pages/tree.rs", "// like crate::heap\n#[cfg(test)]\nmod tests {\n    use crate::heap::Heap;\n}\n");
    breaks(rule, "src/pages/tree.rs", "#[cfg(not(test))]\nmod x {\n    use crate::heap::Heap;\n}\n", &[3]);
}

/// The circles among files, without the places of their arrows.
#[track_caller]
fn circles(files: &[(&str, &str)], excused: &[Excuse]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(path, text)| source(path, text)).collect();
    let what = circles::circles(&sources, excused).into_iter().map(|violation| {
        let mut what = violation.what;
        while let Some(open) = what.find(" (") {
            let length = what[open..].find(')').unwrap();
            what.replace_range(open..=open + length, "");
        }
        what
    });
    what.collect()
}

#[test]
fn circles_among_files() {
    let face = ("src/a/mod.rs", "mod b;\nmod c;\nmod d;\n");
    let b_and_c = "a circle: a::b -> a::c -> a::b";
    let c = ("src/a/c.rs", "use crate::a::b::B;\n");
    for b in [
        "use super::c::C;\n",
        "use super::{c, d};\nfn f() { c::f() }\n",
        "use super::{d::D, c::{C as E}};\n",
        "fn f() { super::c::f() }\n",
        "use crate::a;\nfn f() { a::c::f() }\n",
        "mod inner { use super::super::c::C; }\n",
    ] {
        assert_eq!(circles(&[face, ("src/a/b.rs", b), c], &[]), [b_and_c], "{b}");
    }
    for b in ["// super::c\n", "#[cfg(test)]\nmod tests { use super::super::c::C; }\n", "use super::d::c;\n"] {
        assert_eq!(circles(&[face, ("src/a/b.rs", b), c, ("src/a/d.rs", "")], &[]), [""; 0], "{b}");
    }
    // Round three corners.
    let d = ("src/a/d.rs", "use super::c;\n");
    assert_eq!(
        circles(&[face, ("src/a/b.rs", "use super::d;\n"), c, d], &[]),
        ["a circle: a::b -> a::d -> a::c -> a::b"]
    );
}

#[test]
fn circles_with_the_face() {
    let b = ("src/a/b.rs", "use super::A;\n");
    let circle = ["a circle: a -> a::b -> a"];
    for face in [
        "mod b;\nuse b::B;\n",
        "mod b;\nfn f() { b::f() }\n",
        "mod b;\npub use b::B;\nfn f(b: B) {}\n",
        "mod b;\nuse self::b::B;\n",
    ] {
        assert_eq!(circles(&[("src/a/mod.rs", face), b], &[]), circle, "{face}");
        assert_eq!(circles(&[("src/a.rs", face), b], &[]), circle, "{face}");
    }
    for face in [
        "mod b;\nstruct A;\n",
        "mod b;\npub use b::b;\nstruct A;\n",
        "mod b;\npub use b::B;\nstruct A;\n",
        "mod b;\n#[cfg(test)]\nuse b::B;\n",
    ] {
        assert_eq!(circles(&[("src/a/mod.rs", face), b], &[]), [""; 0], "{face}");
    }
    // A name that the face hands on is its home's.
    let face = ("src/a/mod.rs", "mod b;\nmod c;\npub use c::C;\n");
    let (b, c) = (("src/a/b.rs", "use super::C;\n"), ("src/a/c.rs", "use super::b::B;\n"));
    assert_eq!(circles(&[face, b, c], &[]), ["a circle: a::b -> a::c -> a::b"]);
    assert_eq!(circles(&[face, ("src/a/b.rs", ""), c, ("src/d.rs", "use crate::a::C;\n")], &[]), [""; 0]);
}

#[test]
fn circles_among_folders() {
    let face = ("src/a/mod.rs", "mod b;\nmod c;\nuse b::B;\nstruct A;\n");
    let (b, c) = (("src/a/b/mod.rs", "mod inner;\n"), ("src/a/c.rs", "use super::b::B;\n"));
    assert_eq!(circles(&[face, b, ("src/a/b/inner.rs", ""), c], &[]), [""; 0]);
    let up = ("src/a/b/inner.rs", "use crate::a::A;\n");
    assert_eq!(circles(&[face, b, up, c], &[]), ["a circle: a -> a::b -> a"]);
    let sideways = ("src/a/b/inner.rs", "use super::super::c::C;\n");
    assert_eq!(circles(&[face, b, sideways, c], &[]), ["a circle: a::b -> a::c -> a::b"]);
}

#[test]
fn excused_circles() {
    let files = [("src/a/mod.rs", ""), ("src/a/b.rs", "use super::c::C;\n"), ("src/a/c.rs", "use super::b::B;\n")];
    let sources: Vec<Source> = files.iter().map(|(path, text)| source(path, text)).collect();
    let [used, gone, straight] = [("a::b", "a::c", ""), ("a::b", "a", ""), ("a::c", "a::b", "")];
    assert_eq!(circles(&files, &[used]), [""; 0]);
    assert_eq!(circles::unused_excuses(&sources, &[used]), []);
    assert_eq!(circles::unused_excuses(&sources, &[gone]), [gone]);
    // One of the two is enough.
    assert_eq!(circles::unused_excuses(&sources, &[used, straight]), [used, straight]);
}

#[test]
fn homes() {
    let rule = rules::homes;
    breaks(rule, "src/heap/mod.rs", "\nunsafe { libc::abort() }\n", &[2]);
    keeps(rule, "src/sys/vm.rs", "unsafe { libc::abort() }\n");
    breaks(rule, "src/heap/mod.rs", "use core::sync::atomic::AtomicU8;\nuse loom::sync::Mutex;\n", &[1, 2]);
    keeps(rule, "src/heap/mod.rs", "use crate::sync::atomic::AtomicU8;\nuse crate::sync::loom::x;\n// libc::abort\n");
    keeps(rule, "src/lock/loom_lock.rs", "use loom::sync::Mutex;\n");
    keeps(rule, "src/sync.rs", "use core::sync::atomic::AtomicU8;\n");
    breaks(rule, "src/sync_other.rs", "use core::sync::atomic::AtomicU8;\n", &[1]);
    keeps(rule, "src/heap/mod.rs", "#[cfg(all(test, unix))]\nuse std::sync::Mutex;\n");
}

#[test]
fn statics() {
    let rule = rules::statics;
    breaks(
        rule,
        "src/heap/mod.rs",
        "static A: u8 = 0;\npub static mut B: u8 = 0;\nthread_local! { static C: u8 = 0 }\n",
        &[1, 2, 3],
    );
    keeps(rule, "src/global/mod.rs", "static A: u8 = 0;\n");
    keeps(rule, "src/sys/page.rs", "static BYTES: u8 = 0;\n");
    breaks(rule, "src/sys/page.rs", "static OTHER: u8 = 0;\n", &[1]);
    keeps(rule, "src/heap/mod.rs", "fn f(name: &'static str) -> &'static u8 { loop {} }\n");
    keeps(rule, "src/heap/mod.rs", "#[cfg(test)]\nmod tests {\n    static A: u8 = 0;\n}\n");
}

#[test]
fn containers() {
    let rule = rules::containers;
    breaks(rule, "src/heap/mod.rs", "fn f() -> Vec<u8> {\n    vec![Box::new(1)]\n}\n", &[1, 2, 2]);
    keeps(
        rule,
        "src/heap/mod.rs",
        "struct Vector;\n#[cfg(loom)]\nfn f() -> Vec<u8> { vec![1] }\n/// A Box.\nfn g() {}\n",
    );
    breaks(rule, "src/heap/mod.rs", "#[cfg(test)]\nuse x::Vec;\nfn f() -> String { loop {} }\n", &[3]);
    breaks(rule, "src/heap/mod.rs", "struct S {\n    #[cfg(test)]\n    a: Vec<u8>,\n    b: Vec<u8>,\n}\n", &[4]);
    breaks(rule, "src/heap/mod.rs", "#[cfg(not(loom))]\nfn f() -> Vec<u8> { loop {} }\n", &[2]);
}

#[test]
fn pure() {
    let rule = rules::pure;
    keeps(rule, "src/pages/mod.rs", "//! Pure.\n#![forbid(unsafe_code)]\n");
    breaks(rule, "src/pages/mod.rs", "//! Says `#![forbid(unsafe_code)]` in words only.\n", &[1]);
    breaks(rule, "src/pages/tree.rs", "//! x\nfn f() { unsafe {} }\n", &[2]);
    keeps(rule, "src/heap/tree.rs", "fn f() { unsafe {} }\n");
}

#[test]
fn safety() {
    let rule = text_rules::safety;
    let path = "src/heap/mod.rs";
    breaks(rule, path, "fn f() {\n    unsafe { g() }\n}\n", &[2]);
    breaks(rule, path, "unsafe impl Send for X {}\n", &[1]);
    breaks(rule, path, "// SAFETY: a.\nlet a = unsafe { g() };\nlet b = unsafe { g() };\n", &[3]);
    keeps(rule, path, "// SAFETY: one,\n// two.\nunsafe impl Send for X {}\n");
    keeps(
        rule,
        path,
        "// SAFETY: a.\n#[inline]\nlet a =\n    unsafe { g() };\nlet b = unsafe { g() }; // SAFETY: b.\n",
    );
    keeps(rule, path, "// an unsafe { } in words\npub unsafe fn f() {}\nlet s = \"unsafe { }\";\n");
    breaks(rule, path, "// SAFETY: of something else.\nlet a = 1;\n\nlet b = unsafe { g() };\n", &[4]);
}

#[test]
fn headers_and_lengths() {
    keeps(text_rules::header, "src/a.rs", "//! What.\n\nfn f() {}\n");
    breaks(text_rules::header, "src/a.rs", "fn f() {}\n//! What.\n", &[1]);
    breaks(text_rules::header, "src/a.rs", &"//! Long.\n".repeat(26), &[1]);
    keeps(text_rules::length, "src/a.rs", &"\n".repeat(350));
    breaks(text_rules::length, "src/a.rs", &"\n".repeat(351), &[1]);
    breaks(text_rules::length, "src/protests/a.rs", &"\n".repeat(351), &[1]);
    for path in ["tests/a.rs", "src/a/tests.rs", "src/a/tests/b.rs", "loom-tests/a.rs"] {
        keeps(text_rules::length, path, &"\n".repeat(500));
        breaks(text_rules::length, path, &"\n".repeat(501), &[1]);
    }
}

#[test]
fn leftovers() {
    let note = ["// TO", "DO: more\n"].concat();
    breaks(text_rules::leftovers, "src/a.rs", &format!("//! x\n{note}"), &[2]);
    keeps(text_rules::leftovers, "src/a.rs", "//! All done, nothing fixed up, therefore nowhere.\n");
}
