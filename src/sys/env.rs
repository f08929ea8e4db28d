//! The environment, read without the C library's locks and without allocating.
//!
//! Programs that run with raised privileges (`AT_SECURE`) get no answer: their environment belongs to somebody else.
//!
//! Locks: any may be held; nothing here is a system call.

use core::ffi::{CStr, c_char};
use core::ptr::{self, NonNull};

unsafe extern "C" {
    /// The C library's list of "NAME=value" strings, ended by a null pointer.
    static environ: *const *const c_char;
}

/// The value of a variable; of several the first. `None` if it is not set or the program runs with raised privileges.
///
/// # Safety
/// Nobody changes the environment during the call, and nobody frees or overwrites the variable's string afterwards. Both
/// hold at the first allocation of a program, which comes before its own code.
pub unsafe fn get(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: getauxval has no preconditions.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return None;
    }
    // SAFETY:
    // - reading the pointer: the caller rules out changes;
    // - the list: the C library keeps it ended by a null pointer, its strings ended by a zero byte.
    unsafe { find((&raw const environ).read(), name) }
}

/// Calls `visit` with the name and value of each variable. None are visited if the program runs with raised privileges.
///
/// # Safety
/// Nobody changes the environment during the call.
pub unsafe fn each(mut visit: impl FnMut(&[u8], &[u8])) {
    // SAFETY: getauxval has no preconditions; the caller rules out changes of the list.
    let mut next = unsafe {
        if libc::getauxval(libc::AT_SECURE) != 0 {
            return;
        }
        (&raw const environ).read()
    };
    if next.is_null() {
        return;
    }
    // SAFETY: a list of C strings that ends with a null pointer (see `get`).
    while let Some(entry) = unsafe { NonNull::new((*next).cast_mut()) } {
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(entry.as_ptr()) }.to_bytes();
        if let Some(at) = text.iter().position(|byte| *byte == b'=') {
            visit(&text[..at], &text[at + 1..]);
        }
        // SAFETY: the entry was not the last, null one.
        next = unsafe { next.add(1) };
    }
}

/// Finds a variable in a list.
///
/// # Safety
/// The list is null, or consists of pointers to C strings that live for `'a`, and ends with a null pointer.
unsafe fn find<'a>(list: *const *const c_char, name: &CStr) -> Option<&'a [u8]> {
    if list.is_null() {
        return None;
    }
    let mut next = list;
    loop {
        // SAFETY: the loop ends at the null pointer, so `next` is inside the list.
        let entry = unsafe { ptr::read(next) };
        if entry.is_null() {
            return None;
        }
        // SAFETY: entries are C strings (the caller's contract).
        let entry: &'a [u8] = unsafe { CStr::from_ptr(entry) }.to_bytes();
        if let Some(value) = entry.strip_prefix(name.to_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
            return Some(value);
        }
        // SAFETY: the entry was not the last, so the next is inside the list.
        next = unsafe { next.add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whole_names_only_and_the_first_of_several() {
        let list = [c"NEAP_A=1", c"NEAP=x=y", c"NEAP_AB=", c"bare", c"NEAP_A=2"].map(CStr::as_ptr);
        let mut ended = list.to_vec();
        ended.push(ptr::null());
        // SAFETY: the list ends with a null pointer and its strings are static.
        let find = |name| -> Option<&'static [u8]> { unsafe { find(ended.as_ptr(), name) } };
        assert_eq!(find(c"NEAP_A"), Some(&b"1"[..]));
        assert_eq!(find(c"NEAP"), Some(&b"x=y"[..]));
        assert_eq!(find(c"NEAP_AB"), Some(&b""[..]));
        assert_eq!(find(c"bare"), None);
        assert_eq!(find(c"NEAP_B"), None);
        // SAFETY: a null list is allowed.
        assert_eq!(unsafe { super::find(ptr::null(), c"NEAP") }, None);
    }

    #[test]
    fn the_real_environment_is_seen() {
        let path = std::env::var_os("PATH");
        // SAFETY: no test of this crate changes the environment.
        let seen = unsafe { get(c"PATH") };
        assert_eq!(seen, path.as_ref().map(|value| value.as_encoded_bytes()));
    }
}
