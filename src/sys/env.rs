//! The environment, read without the C library's locks and without allocation.
//!
//! A program with raised privileges (`AT_SECURE`) gets no answer, because its environment belongs to another user.
//!
//! Locks: any may be held; nothing here is a system call.

use core::ffi::{CStr, c_char};
use core::ptr::NonNull;

unsafe extern "C" {
    /// The C library's list of "NAME=value" strings, ended by a null pointer.
    static environ: *const *const c_char;
}

/// Calls `visit` with the name and value of each variable. A program with raised privileges has none.
///
/// # Safety
/// Nobody changes the environment during the call.
pub unsafe fn each(visit: impl FnMut(&[u8], &[u8])) {
    // SAFETY: getauxval has no preconditions.
    if unsafe { libc::getauxval(libc::AT_SECURE) } == 0 {
        // SAFETY:
        // - the pointer is read while nobody changes it (the caller's contract);
        // - the C library ends the list with a null pointer, and each string with a zero byte.
        unsafe { each_of((&raw const environ).read(), visit) };
    }
}

/// Calls `visit` with the name and value of each variable in a list. A string without `=` is no variable.
///
/// # Safety
/// The list is null, or consists of pointers to C strings and ends with a null pointer.
unsafe fn each_of(list: *const *const c_char, mut visit: impl FnMut(&[u8], &[u8])) {
    if list.is_null() {
        return;
    }
    let mut next = list;
    // SAFETY: the loop ends at the null pointer, so `next` is inside the list.
    while let Some(entry) = unsafe { NonNull::new((*next).cast_mut()) } {
        // SAFETY: entries are C strings (the caller's contract).
        let text = unsafe { CStr::from_ptr(entry.as_ptr()) }.to_bytes();
        if let Some(at) = text.iter().position(|byte| *byte == b'=') {
            visit(&text[..at], &text[at + 1..]);
        }
        // SAFETY: the entry was not the last, null one.
        next = unsafe { next.add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_first_equals_sign() {
        let list = [c"NEAP_A=1", c"NEAP=x=y", c"NEAP_AB=", c"bare", c"NEAP_A=2"].map(CStr::as_ptr);
        let mut ended = list.to_vec();
        ended.push(core::ptr::null());
        let mut seen = Vec::new();
        let mut note = |name: &[u8], value: &[u8]| seen.push((name.to_vec(), value.to_vec()));
        // SAFETY: the first list is null; the second ends with a null pointer, and its strings are static.
        unsafe {
            each_of(core::ptr::null(), &mut note);
            each_of(ended.as_ptr(), &mut note);
        }
        let expected = [("NEAP_A", "1"), ("NEAP", "x=y"), ("NEAP_AB", ""), ("NEAP_A", "2")];
        assert_eq!(seen, expected.map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn the_real_environment_is_seen() {
        let path = std::env::var_os("PATH").unwrap();
        let mut seen = None;
        // SAFETY: no test of this crate changes the environment.
        unsafe {
            each(|name, value| {
                if name == b"PATH" {
                    seen = Some(value.to_vec());
                }
            });
        }
        assert_eq!(seen.as_deref(), Some(path.as_encoded_bytes()));
    }
}
