//! Build script. It generates the size classes by the rule below, and decides where the heap is our own ([`has_own_heap`]). It
//! also tells two packages what they are, since they compile the same source by path: loom-tests uses loom's locks and
//! atomics, and preload is the library for C.
//!
//! The rule. Let `s = (size - 1) | (align - 1)`, which folds the alignment into the size, and `k = floor(log2(s | 64))`. Then
//! the class is `8 k - 48 + (s >> (k - 3))`: steps of 8 bytes up to 128, and eight classes for each doubling up to 32 KiB.
//! The figures of a class:
//! - slot: 8 bytes times the class number plus one up to 128, then the upper end of the class's step. The first class, for 1 to
//!   8 bytes, has slots of 16 bytes.
//! - span: the fewest pages, at least two, that have room for 8 slots (4 from 16 KiB up) with a tail waste of at most an
//!   eighth. A span has at least 16 KiB (32 KiB from 128-byte slots, 64 KiB from 1 KiB slots), which keeps refills long.
//! - slots: as many as fit and as the span's free bitmap has room for (64 bytes for each page but the first).
//! - magazine: 16 KiB worth of slots, at least 2 and at most 62. Where C's frees come here, 8 KiB worth of slots, at most
//!   126, if these are more.
//! - alignment of the span in pages: 1, or the slot size where it is a power of two above a page.

use std::fmt::Write as _;

const PAGE: u64 = 8192;
const CLASSES: usize = 80;

struct Info {
    slot: u64,
    pages: u64,
    slots: u64,
    magazine: u64,
    align_pages: u64,
}

fn class(number: usize, serves_c: bool) -> Info {
    let slot = match number as u64 {
        0 => 16,
        n @ 1..=15 => 8 * (n + 1),
        n => (n % 8 + 9) << (n / 8 + 2),
    };
    let least_bytes = match slot {
        0..128 => 2 * PAGE,
        128..1024 => 4 * PAGE,
        _ => 8 * PAGE,
    };
    let least_slots = if slot >= 16384 { 4 } else { 8 };
    let mut pages = least_bytes / PAGE;
    let slots_in = |pages: u64| (pages * PAGE / slot).min((pages - 1) * 512);
    while slots_in(pages) < least_slots || pages * PAGE - slots_in(pages) * slot > pages * PAGE / 8 {
        pages += 1;
    }
    let align_pages = if slot.is_power_of_two() && slot > PAGE { slot / PAGE } else { 1 };
    let mut magazine = (16384 / slot).clamp(2, 62);
    if serves_c {
        magazine = magazine.max((8192 / slot).min(126));
    }
    Info { slot, pages, slots: slots_in(pages), magazine, align_pages }
}

/// A fact about the target, or an empty string.
fn target(fact: &str) -> String {
    std::env::var(format!("CARGO_CFG_{fact}")).unwrap_or_default()
}

/// Whether the heap is our own; elsewhere the system's allocator answers under our names (`src/elsewhere.rs`).
///
/// - Our own: 64-bit Linux, on the processors that a program was run on (`scripts/systems.sh`).
/// - Not on 32 bits: the heap keeps the address space that it once had, and 32 bits have little.
/// - Not on Android: no program could be run there.
/// - Not under Miri, fuzzers and sanitizers: they replace the system's allocator, and see nothing of an allocator that maps its
///   own memory. The package's own tests open the parts (`internals`), and get the parts in any case.
fn has_own_heap() -> bool {
    let processors = ["x86_64", "aarch64", "riscv64", "loongarch64", "s390x", "powerpc64"];
    let is_known = target("TARGET_OS") == "linux"
        && target("TARGET_POINTER_WIDTH") == "64"
        && processors.contains(&target("TARGET_ARCH").as_str());
    // Stable compilers do not tell of a sanitizer that comes with the target, but for its name.
    let is_sanitized = std::env::var_os("CARGO_CFG_SANITIZE").is_some()
        || target("TARGET_ENV") == "gnuasan"
        || std::env::var("TARGET").is_ok_and(|name| name.ends_with("san"));
    let is_watched =
        is_sanitized || ["MIRI", "FUZZING"].iter().any(|tool| std::env::var_os(format!("CARGO_CFG_{tool}")).is_some());
    is_known && (!is_watched || std::env::var_os("CARGO_FEATURE_INTERNALS").is_some())
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if has_own_heap() {
        println!("cargo:rustc-cfg=own_heap");
    }
    // Without an operating system there is no `std`, and so no system's allocator.
    if !["none", "cuda"].contains(&target("TARGET_OS").as_str()) {
        println!("cargo:rustc-cfg=has_system");
    }
    if std::env::var("CARGO_PKG_NAME").as_deref() == Ok("neap-loom-tests") {
        println!("cargo:rustc-cfg=loom");
    }
    // A symbol has one place in a program, and two versions of the package may be in it. The variable has no name of a
    // setting: cargo passes it on to tests, and the allocator complains about settings that it does not know.
    let words = ["NAME", "VERSION"].map(|part| std::env::var(format!("CARGO_PKG_{part}")).expect("cargo sets it"));
    let words = words.join("_").replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    println!("cargo:rustc-env=THREAD_WORDS_SYMBOL={words}_thread_words");
    let is_library = std::env::var("CARGO_PKG_NAME").as_deref() == Ok("neap-preload");
    let serves_c = is_library || std::env::var_os("CARGO_FEATURE_C_SYMBOLS").is_some();
    if is_library {
        println!("cargo:rustc-cfg=neap_library");
        // Threads and the C library keep addresses of this code (exit keys, fork handlers), so it must stay loaded.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // Its constructor, which registers the fork handlers, comes before those of other libraries.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,initfirst");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libneap.so");
    }
    if serves_c {
        println!("cargo:rustc-cfg=serves_c");
    }
    let mut text = String::new();
    writeln!(text, "[").unwrap();
    for number in 0..CLASSES {
        let Info { slot, pages, slots, magazine, align_pages } = class(number, serves_c);
        // The rounding up is exact for every offset in a span, because offsets stay far below 2^32 / slot. A test tries all
        // offsets.
        let reciprocal = (1u64 << 32).div_ceil(slot);
        writeln!(
            text,
            "    ClassInfo {{ slot_bytes: {slot}, span_pages: {pages}, slots: {slots}, magazine_slots: {magazine}, \
             span_align_pages: {align_pages}, reciprocal: {reciprocal} }},"
        )
        .unwrap();
    }
    writeln!(text, "]").unwrap();
    let path = std::path::Path::new(&std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("size_classes.rs");
    std::fs::write(path, text).expect("the build directory is writable");
}
