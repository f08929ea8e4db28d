//! The kernel's setting for transparent huge pages.
//!
//! Locks: none may be held.

use super::file::read_small;
use super::held::assert_none_held;

/// When the kernel uses huge pages for anonymous memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Wherever they fit.
    Always,
    /// Where the program asks for them.
    Madvise,
    /// Nowhere. A kernel without huge pages and a process that has disabled them count as this.
    Never,
}

/// The mode for this process.
pub fn mode() -> Mode {
    assert_none_held("prctl");
    // An unknown request (-1) counts as not disabled.
    // SAFETY: the call only reads a setting; the unused arguments must be zero.
    if unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) } > 0 {
        return Mode::Never;
    }
    let mut buffer = [0; 64];
    let len = read_small(c"/sys/kernel/mm/transparent_hugepage/enabled", &mut buffer);
    parse_mode(&buffer[..len.unwrap_or(0)])
}

/// Bytes in a huge page: 2 MiB on x86-64 and on AArch64 with 4 KiB pages.
pub fn huge_page_bytes() -> usize {
    let mut buffer = [0; 32];
    let len = read_small(c"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &mut buffer);
    parse_bytes(&buffer[..len.unwrap_or(0)]).unwrap_or(2 << 20)
}

/// The mode is the word in brackets: "always [madvise] never".
fn parse_mode(text: &[u8]) -> Mode {
    let chosen = text.split(u8::is_ascii_whitespace).find(|word| word.starts_with(b"["));
    match chosen {
        Some(b"[always]") => Mode::Always,
        Some(b"[madvise]") => Mode::Madvise,
        _ => Mode::Never,
    }
}

/// A decimal number, if it is a power of two of at least 64 KiB.
fn parse_bytes(text: &[u8]) -> Option<usize> {
    let number = core::str::from_utf8(text).ok()?.trim_ascii().parse::<usize>().ok()?;
    (number.is_power_of_two() && number >= 64 << 10).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_brackets_counts() {
        assert_eq!(parse_mode(b"[always] madvise never\n"), Mode::Always);
        assert_eq!(parse_mode(b"always [madvise] never\n"), Mode::Madvise);
        assert_eq!(parse_mode(b"always madvise [never]\n"), Mode::Never);
        assert_eq!(parse_mode(b"always [somet"), Mode::Never);
        assert_eq!(parse_mode(b""), Mode::Never);
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(parse_bytes(b"2097152\n"), Some(2 << 20));
        assert_eq!(parse_bytes(b"2097153\n"), None);
        assert_eq!(parse_bytes(b"0\n"), None);
        assert_eq!(parse_bytes(b""), None);
        assert_eq!(parse_bytes(b"99999999999999999999999\n"), None);
    }

    #[test]
    fn this_machine_has_an_answer() {
        let _ = mode();
        assert!(huge_page_bytes().is_power_of_two());
    }
}
