//! Functions of other libraries, found by name.
//!
//! Locks: none may be held. The dynamic linker has locks of its own and may allocate.

use super::held::assert_none_held;
use core::ffi::{CStr, c_void};

/// The address of a function in the first loaded library of the list that has it, else among the symbols of the whole
/// program. Null if there is none.
pub fn find(libraries: &[&CStr], name: &CStr) -> *mut c_void {
    let address = find_in(libraries, name);
    if !address.is_null() {
        return address;
    }
    // SAFETY: the name is a C string.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// The address of a function in the first loaded library of the list that has it. Null if there is none.
pub fn find_in(libraries: &[&CStr], name: &CStr) -> *mut c_void {
    assert_none_held("dlsym");
    for library in libraries {
        // SAFETY: the name is a C string. NOLOAD loads nothing, so no foreign code runs.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if handle.is_null() {
            continue;
        }
        // SAFETY: the handle is live, and closing it leaves the library loaded as before.
        let address = unsafe {
            let address = libc::dlsym(handle, name.as_ptr());
            libc::dlclose(handle);
            address
        };
        if !address.is_null() {
            return address;
        }
    }
    core::ptr::null_mut()
}
