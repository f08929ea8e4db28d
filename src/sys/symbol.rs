//! Functions of other libraries, found by name.
//!
//! Locks: none may be held; the dynamic linker has its own, and may allocate.

use super::held::assert_none_held;
use core::ffi::{CStr, c_void};

/// The address of a function in whichever of the libraries is loaded already, or among the symbols that the whole program
/// sees; null if there is none.
pub fn find(libraries: &[&CStr], name: &CStr) -> *mut c_void {
    let address = find_in(libraries, name);
    if !address.is_null() {
        return address;
    }
    // SAFETY: a string of C.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// The address of a function in whichever of the libraries is loaded already; null if there is none.
pub fn find_in(libraries: &[&CStr], name: &CStr) -> *mut c_void {
    assert_none_held("dlsym");
    for library in libraries {
        // SAFETY: strings of C; nothing is loaded that was not, so no code of others runs.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if handle.is_null() {
            continue;
        }
        // SAFETY: the handle is live, and is given back, which leaves the library loaded as it was.
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
