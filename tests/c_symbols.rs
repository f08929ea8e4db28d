//! A Rust program with the feature `c-symbols`: what C code in it allocates comes from the same heap.

use std::ffi::{CStr, c_char, c_void};

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

unsafe extern "C" {
    fn strdup(text: *const c_char) -> *mut c_char;
    fn malloc_usable_size(object: *mut c_void) -> usize;
}

#[test]
fn c_and_rust_share_the_heap() {
    let before = neap::stats().in_use_bytes;
    // SAFETY: ordinary calls of C functions; each object is used while it is live, and freed once.
    unsafe {
        let large = libc::malloc(50 << 20);
        assert!(neap::stats().in_use_bytes >= before + (50 << 20));
        assert_eq!(malloc_usable_size(large), 50 << 20);
        libc::free(large);
        assert!(neap::stats().in_use_bytes < before + (50 << 20));
    }
}

#[test]
fn the_c_library_itself_uses_the_heap() {
    // SAFETY: as above.
    unsafe {
        let copy = strdup(c"seventeen letters".as_ptr());
        // glibc's malloc would say 24. Here the class of 18 bytes has slots of 32.
        assert_eq!(malloc_usable_size(copy.cast()), 32);
        assert_eq!(CStr::from_ptr(copy), c"seventeen letters");
        libc::free(copy.cast());
        // The black box: an optimiser may assume that an unused allocation succeeds.
        assert!(std::hint::black_box(libc::malloc(std::hint::black_box(usize::MAX / 2))).is_null());
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ENOMEM));
    }
}

#[test]
fn what_rust_allocates_c_may_measure_and_free() {
    let text: Box<[u8]> = vec![1u8; 5].into_boxed_slice();
    let raw = Box::into_raw(text);
    // SAFETY: one heap: an object is freed once, by either interface.
    unsafe {
        assert_eq!(malloc_usable_size(raw.cast()), 16);
        libc::free(raw.cast());
    }
}
