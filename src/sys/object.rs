//! The program and its libraries as they lie in memory: which of them holds an address, its unwind tables and its build id.
//!
//! glibc answers for an address without a lock (`_dl_find_object`, from 2.35 on), so it can be asked in a signal handler and
//! while another thread loads a library. The function is looked up by name: a program that is linked to it would not start on
//! an older system. The rest is read from the object's own headers, which the loader has mapped.
//!
//! Locks: none may be held while a function is looked up; none is taken to find an object.

use super::held::assert_none_held;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::Range;

/// `struct dl_find_object` of <dlfcn.h>, with room for what later versions add.
#[repr(C)]
struct Found {
    flags: u64,
    start: *mut c_void,
    end: *mut c_void,
    link_map: *const LinkMap,
    unwind_header: *mut c_void,
    reserved: [u64; 8],
}

/// The public part of `struct link_map` of <link.h>.
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
}

/// The smallest page that the kernel has.
const FIRST_PAGE_BYTES: usize = 4096;

type Find = unsafe extern "C" fn(*mut c_void, *mut Found) -> c_int;

/// The C library's function that finds objects.
#[derive(Clone, Copy, Debug)]
pub struct Finder(Find);

/// A program or library in memory. It stays there at least while an address of its code is on the caller's stack.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    start: usize,
    end: usize,
    unwind_header: usize,
    name: *const c_char,
}

impl Finder {
    /// Looks the function up. `None` where the C library has none.
    pub fn new() -> Option<Self> {
        assert_none_held("dlsym");
        // SAFETY: a string of C.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
        // SAFETY: the C library's function of that name has this type.
        (!address.is_null()).then(|| Self(unsafe { core::mem::transmute::<*mut c_void, Find>(address) }))
    }

    /// The object that holds an address of code.
    #[inline]
    pub fn find(self, address: usize) -> Option<Object> {
        let mut found = core::mem::MaybeUninit::<Found>::zeroed();
        // SAFETY: the function writes one structure, for which there is room; it reads nothing at the address.
        let found = unsafe {
            if (self.0)(core::ptr::without_provenance_mut(address), found.as_mut_ptr()) != 0 {
                return None;
            }
            found.assume_init()
        };
        // SAFETY: null, or the loader's record of an object that is loaded.
        let name = unsafe { found.link_map.as_ref() }.map_or(core::ptr::null(), |map| map.name);
        Some(Object {
            start: found.start.addr(),
            end: found.end.addr(),
            unwind_header: found.unwind_header.addr(),
            name,
        })
    }
}

/// Unwind tables: the bytes of the segment that holds them, which begins at `address`, and where their header is.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// The segment.
    pub bytes: &'a [u8],
    /// The address of its first byte.
    pub address: usize,
    /// The address of the tables' header.
    pub header: usize,
}

/// A program header that maps a part of the object's file.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// The address of its first byte from the file.
    pub start: usize,
    /// The address behind the last.
    pub end: usize,
    /// Where in the file they begin.
    pub offset: usize,
    /// Whether it holds code.
    pub is_code: bool,
}

impl Object {
    /// The addresses from the object's first to its last.
    pub fn addresses(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The path that the loader knows the object by; empty for the program itself.
    pub fn name(&self) -> &CStr {
        if self.name.is_null() {
            return c"";
        }
        // SAFETY: the loader's string, which stays as long as the object.
        unsafe { CStr::from_ptr(self.name) }
    }

    fn headers(&self) -> Option<&[libc::Elf64_Phdr]> {
        let header = core::ptr::with_exposed_provenance::<libc::Elf64_Ehdr>(self.start);
        if self.end.checked_sub(self.start)? < size_of::<libc::Elf64_Ehdr>() {
            return None;
        }
        // SAFETY: the object's first mapping begins with its file's first bytes, or with something else that may be read.
        let header = unsafe { header.as_ref() }?;
        let count = header.e_phnum as usize;
        let place = header.e_phoff as usize;
        let is_ours =
            header.e_ident[..4] == *b"\x7fELF" && header.e_phentsize as usize == size_of::<libc::Elf64_Phdr>();
        // The loader has read them from the first page, or would have refused the object.
        if !is_ours || place % 8 != 0 || place + count * size_of::<libc::Elf64_Phdr>() > FIRST_PAGE_BYTES {
            return None;
        }
        // SAFETY: inside the first page of the object's mapping; aligned as checked.
        Some(unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(self.start + place), count) })
    }

    /// What is to be added to an address in the object's headers.
    fn base(&self, headers: &[libc::Elf64_Phdr]) -> Option<usize> {
        let lowest =
            headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(|header| header.p_vaddr).min()?;
        // The loader begins at a page boundary.
        let lowest = lowest as usize & !(super::page::os_page_bytes() - 1);
        Some(self.start.wrapping_sub(lowest))
    }

    /// The object's parts that come from its file.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        let headers = self.headers().unwrap_or(&[]);
        let base = self.base(headers).unwrap_or(0);
        headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(move |header| {
            let start = base.wrapping_add(header.p_vaddr as usize);
            Segment {
                start,
                end: start.wrapping_add(header.p_filesz as usize),
                offset: header.p_offset as usize,
                is_code: header.p_flags & libc::PF_X != 0,
            }
        })
    }

    /// The unwind tables, if the object has any.
    pub fn tables(&self) -> Option<Tables<'_>> {
        let header = self.unwind_header;
        if header == 0 {
            return None;
        }
        let Segment { start, end, .. } = self.segments().find(|part| (part.start..part.end).contains(&header))?;
        // SAFETY: a segment's bytes from its file are mapped and, as tables, not written while the object is loaded.
        let bytes = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(start), end - start) };
        Some(Tables { bytes, address: start, header })
    }

    /// The number that the linker gave to this build of the object, if it did.
    pub fn build_id(&self) -> Option<&[u8]> {
        const GNU_BUILD_ID: u32 = 3;
        let headers = self.headers()?;
        let base = self.base(headers)?;
        for notes in headers.iter().filter(|header| header.p_type == libc::PT_NOTE) {
            let start = base.wrapping_add(notes.p_vaddr as usize);
            let place = core::ptr::with_exposed_provenance::<u8>(start);
            // SAFETY: as in `tables`: notes lie in a segment.
            let mut rest = unsafe { core::slice::from_raw_parts(place, notes.p_filesz as usize) };
            while let Some((head, body)) = rest.split_first_chunk::<12>() {
                let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
                let (name_bytes, bytes, kind) = (word(0) as usize, word(4) as usize, word(8));
                let after_name = name_bytes.next_multiple_of(4);
                let value = body.get(after_name..)?.get(..bytes)?;
                if kind == GNU_BUILD_ID && body.starts_with(b"GNU\0") {
                    return Some(value);
                }
                rest = body.get(after_name + bytes.next_multiple_of(4)..).unwrap_or(&[]);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(address: usize) -> Option<Object> {
        Finder::new()?.find(address)
    }

    #[test]
    fn the_program_and_the_c_library_are_found() {
        let own = find(find as fn(usize) -> Option<Object> as usize).unwrap();
        assert!(own.name().is_empty() && own.tables().is_some());
        let tables = own.tables().unwrap();
        assert!((tables.address..tables.address + tables.bytes.len()).contains(&tables.header));
        let code = own.segments().find(|segment| segment.is_code).unwrap();
        assert!((code.start..code.end).contains(&(find as fn(usize) -> Option<Object> as usize)));

        let theirs = find(libc::getpid as unsafe extern "C" fn() -> i32 as usize).unwrap();
        assert!(theirs.name().to_bytes().windows(5).any(|part| part == b"libc."), "{:?}", theirs.name());
        assert!(theirs.tables().is_some());
    }

    #[test]
    fn a_build_id_is_that_of_the_file() {
        let libc = find(libc::getpid as unsafe extern "C" fn() -> i32 as usize).unwrap();
        let id = libc.build_id().expect("distributions number their builds");
        let file = std::fs::read(libc.name().to_str().unwrap()).unwrap();
        assert!((8..=32).contains(&id.len()) && file.windows(id.len()).any(|part| part == id));
    }

    #[test]
    fn what_is_no_code_belongs_to_no_object() {
        let local = 0;
        assert!(find((&raw const local).addr()).is_none() && find(0).is_none());
    }
}
