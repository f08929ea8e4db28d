//! A reader over bytes that lie at a known address: what unwind tables are made of.
//!
//! Every read is checked against the end of the bytes: a damaged table ends a walk and does nothing else.
//!
//! Locks: none.

/// Bytes, the address of the first, and how far they have been read.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    bytes: &'a [u8],
    address: usize,
    at: usize,
}

/// How a pointer is written in a table: the format in the low half, what the value is relative to in the other.
const FORMAT: u8 = 0x0f;
const RELATIVE_TO: u8 = 0x70;
const FORMAT_WORD: u8 = 0x00;
const FORMAT_U16: u8 = 0x02;
const FORMAT_U32: u8 = 0x03;
const FORMAT_U64: u8 = 0x04;
const FORMAT_I16: u8 = 0x0a;
const FORMAT_I32: u8 = 0x0b;
const FORMAT_I64: u8 = 0x0c;
const ABSOLUTE: u8 = 0x00;
const TO_PLACE: u8 = 0x10;
/// Relative to the header's address, in the header's own table only.
pub const TO_DATA: u8 = 0x30;
/// There is no pointer.
pub const OMITTED: u8 = 0xff;

impl<'a> Bytes<'a> {
    /// `bytes`, the first of which lies at `address`.
    pub const fn new(bytes: &'a [u8], address: usize) -> Self {
        Self { bytes, address, at: 0 }
    }

    /// The same bytes from `address` on; `None` if it is not among them.
    pub fn from(&self, address: usize) -> Option<Self> {
        let at = address.checked_sub(self.address)?;
        (at <= self.bytes.len()).then_some(Self { at, ..*self })
    }

    /// The next `count` bytes on their own; this reader goes on behind them.
    pub fn take(&mut self, count: usize) -> Option<Self> {
        let end = self.at.checked_add(count)?;
        let part = Self { bytes: self.bytes.get(..end)?, ..*self };
        self.at = end;
        Some(part)
    }

    /// The address of the next byte.
    pub const fn place(&self) -> usize {
        self.address.wrapping_add(self.at)
    }

    /// Whether all bytes have been read.
    pub const fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*bytes)
    }

    /// A byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A number of four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number in groups of seven bits, the lowest first.
    pub fn uleb(&mut self) -> Option<u64> {
        self.leb().map(|(value, _, _)| value)
    }

    /// The same with a sign.
    pub fn sleb(&mut self) -> Option<i64> {
        let (value, bits, last) = self.leb()?;
        let negative = last & 0x40 != 0 && bits < 64;
        Some(if negative { value | u64::MAX << bits } else { value } as i64)
    }

    /// The value, how many bits were given, and the last byte.
    fn leb(&mut self) -> Option<(u64, u32, u8)> {
        let (mut value, mut bits) = (0, 0);
        loop {
            let byte = self.u8()?;
            if bits < 64 {
                value |= u64::from(byte & 0x7f) << bits;
            }
            bits += 7;
            if byte & 0x80 == 0 {
                return Some((value, bits, byte));
            }
        }
    }

    /// A pointer in the given encoding; `data` is what [`TO_DATA`] is relative to. `None` for encodings that tables of
    /// programs do not use.
    pub fn pointer(&mut self, encoding: u8, data: usize) -> Option<usize> {
        let place = self.place();
        let value = match encoding & FORMAT {
            FORMAT_WORD | FORMAT_U64 | FORMAT_I64 => self.u64()? as usize,
            FORMAT_U16 => self.u16()? as usize,
            FORMAT_U32 => self.u32()? as usize,
            FORMAT_I16 => self.u16()? as i16 as usize,
            FORMAT_I32 => self.u32()? as i32 as usize,
            _ => return None,
        };
        match encoding & RELATIVE_TO {
            ABSOLUTE => Some(value),
            TO_PLACE => Some(place.wrapping_add(value)),
            TO_DATA => Some(data.wrapping_add(value)),
            _ => None,
        }
    }

    /// A length as a pointer's encoding writes it: the format alone.
    pub fn extent(&mut self, encoding: u8) -> Option<usize> {
        self.pointer(encoding & FORMAT, 0)
    }

    /// Skips bytes.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Bytes<'_> {
        Bytes::new(bytes, 0x1000)
    }

    #[test]
    fn numbers_in_groups_of_seven_bits() {
        for (bytes, value) in [(&[0x02][..], 2), (&[0x7f], 127), (&[0x80, 0x01], 128), (&[0xe5, 0x8e, 0x26], 624_485)] {
            assert_eq!(of(bytes).uleb(), Some(value));
        }
        for (bytes, value) in
            [(&[0x02][..], 2), (&[0x7e], -2), (&[0xff, 0x00], 127), (&[0x81, 0x7f], -127), (&[0x80, 0x7f], -128)]
        {
            assert_eq!(of(bytes).sleb(), Some(value));
        }
        assert_eq!(of(&[0x80]).uleb(), None);
        assert_eq!(of(&[0xff; 20]).uleb(), None);
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(of(&most).uleb(), Some(u64::MAX));
    }

    #[test]
    fn pointers_are_relative_to_what_their_encoding_says() {
        let minus_four = (-4_i32).to_le_bytes();
        assert_eq!(of(&minus_four).pointer(FORMAT_I32 | TO_PLACE, 0), Some(0xffc));
        assert_eq!(of(&minus_four).pointer(FORMAT_I32 | TO_DATA, 0x2000), Some(0x1ffc));
        assert_eq!(of(&minus_four).pointer(FORMAT_U32, 0), Some(0xffff_fffc));
        assert_eq!(of(&minus_four).pointer(FORMAT_U64, 0), None);
        assert_eq!(of(&[1, 0, 0, 0, 0, 0, 0, 0]).pointer(FORMAT_WORD, 0), Some(1));
        assert_eq!(of(&minus_four).pointer(0x80 | FORMAT_I32 | 0x40, 0), None);
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let mut bytes = of(&[1, 2, 3]);
        assert_eq!(bytes.u16(), Some(0x201));
        assert_eq!((bytes.place(), bytes.u16(), bytes.u8(), bytes.u8()), (0x1002, None, Some(3), None));
        assert!(bytes.is_empty() && bytes.take(1).is_none() && bytes.take(usize::MAX).is_none());
        assert!(bytes.from(0xfff).is_none() && bytes.from(0x1004).is_none() && bytes.from(0x1003).is_some());
    }
}
