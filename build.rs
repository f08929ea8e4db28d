//! Build script: generates the size classes from the rule below, and tells two packages that compile this same source by
//! path what they are: loom-tests uses loom's locks and atomics, preload is the library for C.
//!
//! The rule. With `s = (size - 1) | (align - 1)` (so that the alignment is folded into the size) and
//! `k = floor(log2(s | 64))`, the class is `8 k - 48 + (s >> (k - 3))`: steps of 8 bytes up to 128, then eight classes
//! for each doubling up to 32 KiB. The classes' figures:
//! - slot: 8 bytes times the class number up to 128 (the first class, for 1 to 8 bytes, has slots of 16 bytes), then
//!   the upper end of the class's step;
//! - span: the fewest pages, at least two, with room for 8 slots (4 from 16 KiB up) whose tail waste is at most an
//!   eighth, and not below 16 KiB (32 KiB from 128-byte slots, 64 KiB from 1 KiB slots), which keeps refills long;
//! - slots: what fits, and what the span's free bitmap has room for (64 bytes for each page but the first);
//! - magazine: 16 KiB worth of slots, at least 2 and at most 62; where C's frees come here, 8 KiB worth up to 126 if those
//!   are more;
//! - alignment of the span in pages: 1, but the slot size where that is a power of two above a page.

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

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_PKG_NAME").as_deref() == Ok("neap-loom-tests") {
        println!("cargo:rustc-cfg=loom");
    }
    let is_library = std::env::var("CARGO_PKG_NAME").as_deref() == Ok("neap-preload");
    let serves_c = is_library || std::env::var_os("CARGO_FEATURE_C_SYMBOLS").is_some();
    if is_library {
        println!("cargo:rustc-cfg=neap_library");
        // Threads and the C library keep addresses of this code (exit keys, fork handlers): it must stay loaded.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libneap.so");
    }
    if serves_c {
        println!("cargo:rustc-cfg=serves_c");
    }
    let mut text = String::new();
    writeln!(text, "[").unwrap();
    for number in 0..CLASSES {
        let Info { slot, pages, slots, magazine, align_pages } = class(number, serves_c);
        // Rounded up: exact for every offset in a span, because offsets stay far below 2^32 / slot. A test tries all.
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
