//! Lines on fd 2 without allocation, and the end of the process.
//!
//! A line is formatted into a buffer on the stack and written with one `write`, so lines of several threads do not mix.
//! A line that does not fit ends with "...". `fatal!` names the layer and the values, then aborts. In tests and loom
//! models it panics instead, so that they can catch it.
//!
//! Locks: none, and any may be held: either the process is about to end, or the line is a warning that must not be
//! lost.
//!
//! Never: allocates; unwinds, outside of tests.

use core::fmt;

/// The longest line, its newline included.
const LINE_BYTES: usize = 512;
const CUT: &[u8] = b"...";

/// A line under construction.
pub(crate) struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
    cut: bool,
}

impl Line {
    /// An empty line.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; LINE_BYTES], len: 0, cut: false }
    }

    /// Ends the line and returns it.
    pub(crate) fn finish(&mut self) -> &[u8] {
        if self.cut {
            self.bytes[self.len..][..CUT.len()].copy_from_slice(CUT);
            self.len += CUT.len();
        }
        self.bytes[self.len] = b'\n';
        &self.bytes[..=self.len]
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The mark of a cut and the newline always have room.
        let room = LINE_BYTES - CUT.len() - 1 - self.len;
        let mut fits = text.len().min(room);
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        if !self.cut {
            self.bytes[self.len..][..fits].copy_from_slice(&text.as_bytes()[..fits]);
            self.len += fits;
            self.cut = fits < text.len();
        }
        Ok(())
    }
}

/// Writes "neap: " and the text as one line to fd 2. A line that cannot be written is lost.
pub fn write_line(text: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // A formatter that fails leaves a shorter line, which is better than none.
    let _ = fmt::Write::write_fmt(&mut line, format_args!("neap: {text}"));
    emit(line.finish());
}

#[cfg(not(loom))]
fn emit(line: &[u8]) {
    let saved = super::errno::Saved::new();
    loop {
        // SAFETY: write reads `line.len()` bytes of a live slice, and no other memory.
        let written = unsafe { libc::syscall(libc::SYS_write, libc::STDERR_FILENO, line.as_ptr(), line.len()) };
        if written >= 0 || super::Errno::last() != super::Errno(libc::EINTR) {
            break;
        }
    }
    drop(saved);
}

#[cfg(loom)]
fn emit(line: &[u8]) {
    std::eprint!("{}", std::string::String::from_utf8_lossy(line));
}

/// Writes the line "neap: layer: text" and ends the process. `fatal!` calls it.
#[cold]
#[inline(never)]
#[track_caller]
pub fn end_process(layer: &'static str, text: fmt::Arguments<'_>) -> ! {
    #[cfg(any(test, loom))]
    std::panic!("neap: {layer}: {text}");
    #[cfg(not(any(test, loom)))]
    {
        write_line(format_args!("{layer}: {text}"));
        // SAFETY: abort has no preconditions.
        unsafe { libc::abort() }
    }
}

/// `fatal!("layer", "text {}", value)`: one line on fd 2, then the process ends.
macro_rules! fatal {
    ($layer:expr, $($text:tt)+) => {
        $crate::sys::message::end_process($layer, ::core::format_args!($($text)+))
    };
}
pub(crate) use fatal;

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn a_short_line_is_kept() {
        let mut line = Line::new();
        write!(line, "heap: {} pages at {:#x}", 3, 0x2000).unwrap();
        assert_eq!(line.finish(), b"heap: 3 pages at 0x2000\n");
    }

    #[test]
    fn a_line_that_just_fits_is_kept() {
        let mut line = Line::new();
        let text = "x".repeat(LINE_BYTES - CUT.len() - 1);
        line.write_str(&text).unwrap();
        assert_eq!(line.finish(), format!("{text}\n").as_bytes());
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        for shift in 0..4 {
            let mut line = Line::new();
            line.write_str(&"y".repeat(shift)).unwrap();
            for _ in 0..LINE_BYTES {
                line.write_str("\u{20ac}").unwrap();
            }
            let bytes = line.finish();
            assert!(bytes.len() <= LINE_BYTES && bytes.ends_with(b"...\n"));
            assert!(core::str::from_utf8(bytes).is_ok());
        }
    }

    #[test]
    fn nothing_follows_a_cut() {
        let mut line = Line::new();
        line.write_str(&"\u{20ac}".repeat(LINE_BYTES)).unwrap();
        line.write_str("z").unwrap();
        assert!(!line.finish().contains(&b'z'));
    }

    #[test]
    #[should_panic(expected = "neap: span: 7 is odd")]
    fn fatal_names_layer_and_value() {
        fatal!("span", "{} is odd", 7);
    }
}
