//! Sizes as users write them: `1048576`, `512M`, `2GiB`.
//!
//! All units are powers of 1024, as for containers. `KB` and similar units are refused, because half of the world reads
//! them as powers of 1000.
//!
//! Locks: none.

/// A number of bytes. `None` where the text is no size, or more than 64 bits hold.
pub fn parse_size(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_ascii_start();
    let shift = match unit {
        [] | [b'b' | b'B'] => 0,
        [first, rest @ ..] if rest.is_empty() || rest.eq_ignore_ascii_case(b"ib") => match first.to_ascii_uppercase() {
            b'K' => 10,
            b'M' => 20,
            b'G' => 30,
            b'T' => 40,
            _ => return None,
        },
        _ => return None,
    };
    parse_number(number)?.checked_mul(1 << shift)
}

/// A decimal number: digits and nothing else.
pub(super) fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
