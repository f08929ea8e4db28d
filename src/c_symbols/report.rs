//! What glibc lets a program ask its malloc: to trim, counts, and options.
//!
//! Locks: the heap's, one at a time.

use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};

use crate::accounts::stats::Stats;
use crate::global;
use crate::sys;
use crate::sys::errno::{EINVAL, Saved};

/// glibc's `struct mallinfo` and `struct mallinfo2`: the same ten counts, in `int` and in `size_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Mallinfo<T> {
    /// Bytes of the heap outside blocks with a mapping of their own. Here these are all bytes of the heap.
    arena: T,
    /// Number of free blocks: not counted.
    ordblks: T,
    /// Number of small free blocks: not counted.
    smblks: T,
    /// Number of blocks with a mapping of their own: there are none.
    hblks: T,
    /// Bytes in blocks with a mapping of their own.
    hblkhd: T,
    /// Always 0, as in glibc.
    usmblks: T,
    /// Bytes in small free blocks: the slots in depots.
    fsmblks: T,
    /// Bytes in use.
    uordblks: T,
    /// Free bytes.
    fordblks: T,
    /// Bytes that `malloc_trim` could give back.
    keepcost: T,
}

impl<T> Mallinfo<T> {
    fn new(stats: &Stats, number: impl Fn(u64) -> T) -> Self {
        let free_slots = stats.hole_bytes + stats.hole_released_bytes + stats.depot_bytes;
        let used = stats.in_use_bytes.saturating_sub(free_slots);
        Self {
            arena: number(stats.mapped_bytes),
            ordblks: number(0),
            smblks: number(0),
            hblks: number(0),
            hblkhd: number(0),
            usmblks: number(0),
            fsmblks: number(stats.depot_bytes),
            uordblks: number(used),
            fordblks: number(stats.mapped_bytes.saturating_sub(used)),
            keepcost: number(stats.retained_bytes + stats.cached_bytes + stats.hole_bytes),
        }
    }
}

/// glibc's `mallinfo2`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn mallinfo2() -> Mallinfo<usize> {
    Mallinfo::new(&global::stats(), |bytes| bytes as usize)
}

/// glibc's `mallinfo`, whose counts end at `INT_MAX`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn mallinfo() -> Mallinfo<c_int> {
    Mallinfo::new(&global::stats(), |bytes| bytes.min(c_int::MAX as u64) as c_int)
}

/// glibc's `malloc_trim`: releases all free memory to the OS. Returns 1 if there was free memory.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn malloc_trim(_pad: usize) -> c_int {
    let _errno = Saved::new();
    (global::scavenge() != 0) as c_int
}

/// glibc's `mallopt`. Every option is accepted, and changes nothing.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn mallopt(_option: c_int, _value: c_int) -> c_int {
    1
}

/// glibc's `malloc_stats`: the accounts, on the standard error stream. The last lines are glibc's lines, which programs look
/// for; they say that no block has a mapping of its own.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn malloc_stats() {
    // The function has no result, so a failure to write is ignored.
    let mapped = "max mmap regions = 0\nmax mmap bytes   = 0\n";
    let _ = write!(Stream(sys::stream::standard_error()), "{}{mapped}", global::stats());
}

/// A stream of the C library.
struct Stream(*mut c_void);

impl Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the stream is live, by the contract of `malloc_info`.
        if unsafe { sys::stream::write(self.0, text.as_bytes()) } { Ok(()) } else { Err(fmt::Error) }
    }
}

/// glibc's `malloc_info`: the accounts as XML, written to a stream. The XML's names are our own.
///
/// # Safety
/// `stream` is an open `FILE`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut c_void) -> c_int {
    if options != 0 {
        return EINVAL.0;
    }
    let stats = global::stats();
    let mut stream = Stream(stream);
    let written = stream
        .write_str("<malloc version=\"neap-1\">\n")
        .and_then(|()| stats.write_xml(&mut stream))
        .and_then(|()| stream.write_str("</malloc>\n"));
    if written.is_ok() { 0 } else { -1 }
}
