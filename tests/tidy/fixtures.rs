//! Each rule against a text that breaks it and against one that keeps it.

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
    keeps(text_rules::length, "src/a.rs", &"\n".repeat(500));
    breaks(text_rules::length, "src/a.rs", &"\n".repeat(501), &[1]);
}

#[test]
fn leftovers() {
    let note = ["// TO", "DO: more\n"].concat();
    breaks(text_rules::leftovers, "src/a.rs", &format!("//! x\n{note}"), &[2]);
    keeps(text_rules::leftovers, "src/a.rs", "//! All done, nothing fixed up, therefore nowhere.\n");
}
