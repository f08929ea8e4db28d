//! Misuse ends the process: one line on the standard error stream that names the layer, SIGABRT, and no allocation on the
//! way. Each case is a child.
//!
//! A small object freed wrongly is seen at the free itself in builds with debug assertions; otherwise when the slot goes
//! back to its span, which `neap::scavenge()` brings about here.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

/// neap, and a trap: once it is set, the thread ends the process with [`ALLOCATED`] if it allocates.
struct Trapped(neap::Neap);

thread_local! {
    static TRAP: Cell<bool> = const { Cell::new(false) };
}
const ALLOCATED: i32 = 77;

fn check_trap() {
    if TRAP.get() {
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(ALLOCATED) };
    }
}

// SAFETY: all is neap's.
unsafe impl GlobalAlloc for Trapped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check_trap();
        // SAFETY: the caller's contract.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { self.0.dealloc(object, layout) };
    }
}

#[global_allocator]
static GLOBAL: Trapped = Trapped(neap::Neap::new());

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

fn alloc(size: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    unsafe { GLOBAL.alloc(layout(size)) }
}

/// Frees, whether it is right or not.
fn free(object: *mut u8, size: usize) {
    // SAFETY: none. That this is noticed is what the tests are about.
    unsafe { GLOBAL.dealloc(object, layout(size)) };
}

/// Says on the standard output, without allocating, that the process went on after the free.
fn survived() {
    // SAFETY: a live buffer of that length.
    unsafe { libc::write(1, b"survived\n".as_ptr().cast(), 9) };
}

/// A free on another thread, which gives its cache back and is gone when this returns.
fn free_on_another_thread(object: *mut u8, size: usize) {
    let address = object.expose_provenance();
    let before = neap::stats().threads;
    std::thread::spawn(move || free(std::ptr::with_exposed_provenance_mut(address), size)).join().unwrap();
    assert_eq!(neap::stats().threads, before);
}

/// Finds the record of the large object at `base` in the allocator's tables, and makes it longer than the heap.
fn corrupt_the_record_of(base: *mut u8, pages: u32) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let page = base.addr() / common::PAGE_BYTES;
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains("rw-p")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (usize::from_str_radix(from, 16).unwrap(), usize::from_str_radix(to, 16).unwrap());
        // The tables of a region of address space are a mapping of at least this size.
        if to - from < neap::span_map::REGION_METADATA_BYTES || (from..to).contains(&base.addr()) {
            continue;
        }
        for at in (from..to - 8).step_by(8) {
            let word: *mut u64 = std::ptr::with_exposed_provenance_mut(at);
            // SAFETY: readable and writable memory, by the kernel's word. What is written is meant to be wrong.
            unsafe {
                if word.read_volatile() == page as u64 && word.add(1).cast::<u32>().read_volatile() == pages {
                    word.add(1).cast::<u32>().write_volatile(pages + 50_000);
                    found += 1;
                }
            }
        }
    }
    assert_eq!(found, 1, "{maps}");
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    // SAFETY: no core files, please.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
    let (small, large) = (alloc(64), alloc(100_000));
    let mut on_stack = [0u8; 256];
    let stack = on_stack.as_mut_ptr().map_addr(|at| at.next_multiple_of(64));
    let trapped = |free: &dyn Fn()| {
        TRAP.set(true);
        free();
    };
    match case.as_str() {
        "twice" => {
            free(small, 64);
            trapped(&|| free(small, 64));
        }
        "twice_in_another_thread" => {
            free_on_another_thread(small, 64);
            trapped(&|| free(small, 64));
        }
        "large_twice" => {
            free(large, 100_000);
            trapped(&|| free(large, 100_000));
        }
        "on_the_stack" => trapped(&|| free(stack, 64)),
        "large_on_the_stack" => trapped(&|| free(stack, 100_000)),
        "interior" => trapped(&|| free(small.wrapping_add(16), 64)),
        "unaligned" => trapped(&|| free(small.wrapping_add(1), 64)),
        "inside_a_large_object" => trapped(&|| free(large.wrapping_add(8192), 100_000)),
        "behind_the_address_space" => trapped(&|| free(std::ptr::without_provenance_mut(1 << 60), 100_000)),
        "other_class" => trapped(&|| free(small, 512)),
        "small_as_large" => trapped(&|| free(small, 100_000)),
        "large_as_small" => trapped(&|| free(large, 64)),
        "after_another_threads_reuse" => {
            // The slot is out again, so nothing can be seen before both frees meet in the span.
            free_on_another_thread(small, 64);
            trapped(&|| {
                free(small, 64);
                free(small, 64);
            });
        }
        "corrupt_record" => {
            let pages = 37;
            let object = alloc(pages * common::PAGE_BYTES);
            corrupt_the_record_of(object, pages as u32);
            trapped(&|| free(object, pages * common::PAGE_BYTES));
        }
        _ => panic!("no such case: {case}"),
    }
    survived();
    neap::scavenge();
    survived();
    // Not reached by any case that is noticed. Without destructors, for the heap is not sound any more.
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(0) };
}

/// Runs a case and checks how it ended: `line` is how the one line begins, `at_once` says whether the free itself ended
/// the process.
#[track_caller]
fn dies(case: &str, line: &str, at_once: bool) {
    let ended = common::run(case);
    assert_ne!(ended.code, Some(ALLOCATED), "{case} allocated on the way");
    assert_eq!(ended.signal, Some(libc::SIGABRT), "{case}: code {:?}\n{}\n{}", ended.code, ended.stdout, ended.stderr);
    assert!(ended.stderr.starts_with(line), "{case}: {}", ended.stderr);
    assert_eq!((ended.stderr.lines().count(), ended.stderr.ends_with('\n')), (1, true), "{case}: {}", ended.stderr);
    assert_eq!(ended.stdout.matches("survived").count(), if at_once { 0 } else { 1 }, "{case}: {}", ended.stdout);
}

const AT_ONCE_IN_DEBUG: bool = cfg!(debug_assertions);

#[test]
fn a_small_object_freed_twice_ends_the_process() {
    dies("twice", "neap: central: double free of 0x", AT_ONCE_IN_DEBUG);
    dies("twice_in_another_thread", "neap: central: double free of 0x", AT_ONCE_IN_DEBUG);
    dies("after_another_threads_reuse", "neap: central: double free of 0x", AT_ONCE_IN_DEBUG);
}

#[test]
fn a_large_object_freed_twice_ends_the_process_at_once() {
    dies("large_twice", "neap: large: free of 0x", true);
}

#[test]
fn a_pointer_that_is_no_object_ends_the_process() {
    for case in ["on_the_stack", "interior", "unaligned"] {
        dies(case, "neap: central: free of 0x", AT_ONCE_IN_DEBUG);
    }
    for case in ["large_on_the_stack", "inside_a_large_object", "behind_the_address_space"] {
        dies(case, "neap: large: free of 0x", true);
    }
}

#[test]
fn a_layout_of_another_class_ends_the_process() {
    for case in ["other_class", "large_as_small"] {
        dies(case, "neap: central: free of 0x", AT_ONCE_IN_DEBUG);
    }
    dies("small_as_large", "neap: large: free of 0x", true);
}

#[test]
fn a_corrupt_table_ends_the_process() {
    dies("corrupt_record", "neap: page heap: ", true);
}
