//! Misuse ends the process: one line on the standard error stream that names the layer, SIGABRT, and no allocation on the
//! way. Each test names what is freed wrongly.
//!
//! A build with debug assertions sees the wrong free of a small object at the free itself. Other builds see it when the slot
//! goes back to its span; here `neap::scavenge()` sends it there.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use common::{Child, child, layout};

/// neap with a trap: a thread that has set the trap ends the process with [`ALLOCATED`] if it allocates.
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

/// Frees on another thread. When this returns, the thread has given its cache back and is gone.
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
        // A region's tables are a mapping of at least this size.
        if to - from < neap::internals::span::REGION_METADATA_BYTES || (from..to).contains(&base.addr()) {
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

const SMALL: usize = 64;
const LARGE: usize = 100_000;

/// When a misuse is seen.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    /// At the free itself.
    AtOnce,
    /// At the free itself in builds with debug assertions, otherwise when the slot goes back to its span.
    BackInTheSpan,
}

/// Frees in a child, whether it is right or not, and looks at how the child ends. `prepare` makes what the frees need;
/// during the `frees` the thread must not allocate. `line` is how the child's one line begins.
#[track_caller]
fn dies<T>(child: Child, seen: Seen, line: &str, prepare: impl FnOnce() -> T, frees: impl FnOnce(T)) {
    let case = || {
        let prepared = prepare();
        TRAP.set(true);
        frees(prepared);
        survived();
        neap::scavenge();
        survived();
        // Only a misuse that is not seen comes here. No destructors run, because the heap is not sound any more.
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(0) };
    };
    let is_seen_at_once = seen == Seen::AtOnce || cfg!(debug_assertions);
    child.ends(case, |ended| {
        assert_ne!(ended.code, Some(ALLOCATED), "allocated on the way: {ended}");
        ended.assert_died_with(line);
        assert_eq!(ended.stdout.matches("survived").count(), usize::from(!is_seen_at_once), "{ended}");
    });
}

/// Frees a small pointer that is no slot of the class of its layout.
#[track_caller]
fn small_free_dies(child: Child, object: impl FnOnce() -> *mut u8, bytes: usize) {
    dies(child, Seen::BackInTheSpan, "neap: central: free of 0x", object, |object| free(object, bytes));
}

/// Frees a large pointer that is no large object.
#[track_caller]
fn large_free_dies(child: Child, object: impl FnOnce() -> *mut u8) {
    dies(child, Seen::AtOnce, "neap: large: free of 0x", object, |object| free(object, LARGE));
}

/// A pointer into the stack that could be a slot's. The frame may be gone: nobody reads or writes there.
fn on_the_stack() -> *mut u8 {
    let mut on_stack = [0u8; 2 * SMALL];
    on_stack.as_mut_ptr().map_addr(|at| at.next_multiple_of(SMALL))
}

#[test]
fn a_small_object_freed_twice_ends_the_process() {
    let freed = || {
        let object = alloc(SMALL);
        free(object, SMALL);
        object
    };
    dies(child!(), Seen::BackInTheSpan, "neap: central: double free of 0x", freed, |object| free(object, SMALL));
}

#[test]
fn a_small_object_freed_by_two_threads_ends_the_process() {
    let freed = || {
        let object = alloc(SMALL);
        free_on_another_thread(object, SMALL);
        object
    };
    dies(child!(), Seen::BackInTheSpan, "neap: central: double free of 0x", freed, |object| free(object, SMALL));
}

/// The slot is out again after the first free. So the misuse shows only when the two other frees meet in the span.
#[test]
fn a_small_object_freed_twice_after_another_threads_free_ends_the_process() {
    let freed = || {
        let object = alloc(SMALL);
        free_on_another_thread(object, SMALL);
        object
    };
    dies(child!(), Seen::BackInTheSpan, "neap: central: double free of 0x", freed, |object| {
        free(object, SMALL);
        free(object, SMALL);
    });
}

#[test]
fn a_large_object_freed_twice_ends_the_process() {
    let freed = || {
        let object = alloc(LARGE);
        free(object, LARGE);
        object
    };
    large_free_dies(child!(), freed);
}

#[test]
fn a_pointer_to_the_stack_ends_the_process() {
    small_free_dies(child!().case("small"), on_the_stack, SMALL);
    large_free_dies(child!().case("large"), on_the_stack);
}

#[test]
fn a_pointer_into_a_slot_ends_the_process() {
    small_free_dies(child!().case("aligned"), || alloc(SMALL).wrapping_add(16), SMALL);
    small_free_dies(child!().case("unaligned"), || alloc(SMALL).wrapping_add(1), SMALL);
}

#[test]
fn a_pointer_into_a_large_object_ends_the_process() {
    large_free_dies(child!(), || alloc(LARGE).wrapping_add(common::PAGE_BYTES));
}

#[test]
fn a_pointer_behind_the_address_space_ends_the_process() {
    large_free_dies(child!(), || std::ptr::without_provenance_mut(1 << 60));
}

#[test]
fn a_layout_of_another_class_ends_the_process() {
    small_free_dies(child!().case("a small class"), || alloc(SMALL), 8 * SMALL);
    small_free_dies(child!().case("small for large"), || alloc(LARGE), SMALL);
    large_free_dies(child!().case("large for small"), || alloc(SMALL));
}

#[test]
fn a_corrupt_table_ends_the_process() {
    const PAGES: usize = 37;
    let corrupt = || {
        let object = alloc(PAGES * common::PAGE_BYTES);
        corrupt_the_record_of(object, PAGES as u32);
        object
    };
    let free = |object| free(object, PAGES * common::PAGE_BYTES);
    dies(child!(), Seen::AtOnce, "neap: page heap: ", corrupt, free);
}
