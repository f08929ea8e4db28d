//! Which mapping holds an address.
//!
//! New kernels answer for one address (`PROCMAP_QUERY`, Linux 6.11); for others the list of mappings is read in small parts, up
//! to the one that is looked for. Neither allocates, and both may run in a signal handler.
//!
//! Locks: none may be held.

use super::errno::Saved;
use super::file::File;
use super::held::assert_none_held;
use core::ops::Range;

/// `struct procmap_query` of <linux/fs.h>.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    rights: u64,
    page_bytes: u64,
    offset: u64,
    inode: u64,
    device: [u32; 2],
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: u64 = 3 << 30 | (size_of::<Query>() as u64) << 16 | (b'f' as u64) << 8 | 17;
/// The flag for mappings that may be read.
const READABLE: u64 = 1;

/// The mapping that holds `address`, if it may be read.
pub fn around(address: usize) -> Option<Range<usize>> {
    assert_none_held("ioctl(PROCMAP_QUERY)");
    let _saved = Saved::new();
    let maps = File::open(c"/proc/self/maps")?;
    let mut query =
        Query { size: size_of::<Query>() as u64, flags: READABLE, address: address as u64, ..Query::default() };
    // SAFETY: the kernel reads and writes the query, whose size it is told, and no memory beyond: no name is asked for.
    let answer = unsafe { maps.control(PROCMAP_QUERY, (&raw mut query).cast()) };
    if answer == 0 {
        return Some(query.start as usize..query.end as usize);
    }
    in_list(address, |buffer| maps.read(buffer))
}

/// The same from the list, whose lines begin "start-end rights", in hexadecimal.
fn in_list(address: usize, mut read: impl FnMut(&mut [u8]) -> Option<usize>) -> Option<Range<usize>> {
    let mut buffer = [0; 512];
    let mut line = Line::Numbers { numbers: [0, 0], at: 0 };
    loop {
        let count = read(&mut buffer)?;
        if count == 0 {
            return None;
        }
        for byte in &buffer[..count] {
            line = match (line, byte) {
                (_, b'\n') => Line::Numbers { numbers: [0, 0], at: 0 },
                (Line::Numbers { numbers, .. }, b'-') => Line::Numbers { numbers, at: 1 },
                (Line::Numbers { numbers: [start, end], .. }, b' ') if (start..end).contains(&address) => {
                    Line::Rights(start..end)
                }
                (Line::Numbers { mut numbers, at }, digit) if digit.is_ascii_hexdigit() => {
                    let value = (*digit as char).to_digit(16).unwrap_or(0) as usize;
                    numbers[at] = numbers[at] << 4 | value;
                    Line::Numbers { numbers, at }
                }
                (Line::Rights(range), rights) => return (*rights == b'r').then_some(range),
                _ => Line::Rest,
            };
        }
    }
}

/// Where in a line the reader is.
enum Line {
    Numbers { numbers: [usize; 2], at: usize },
    Rights(Range<usize>),
    Rest,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "1000-3000 r-xp 00000000 00:00 0  /bin/a-b c\n3000-4000 ---p 0 0:0 0\n7f00-8000 rw-p 0 0:0 0 [stack]\n";

    /// The list in parts of so many bytes.
    fn found(address: usize, part: usize) -> Option<Range<usize>> {
        let mut rest = LIST.as_bytes();
        in_list(address, |buffer| {
            let count = part.min(rest.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            Some(count)
        })
    }

    #[test]
    fn the_list_is_read_in_any_parts() {
        for part in [1, 2, 7, 64, 512] {
            assert_eq!(found(0x1000, part), Some(0x1000..0x3000));
            assert_eq!(found(0x7fff, part), Some(0x7f00..0x8000));
            for address in [0, 0xfff, 0x3000, 0x4000, 0x8000, usize::MAX] {
                assert_eq!(found(address, part), None, "{address:x}");
            }
        }
    }

    #[test]
    fn a_stack_lies_in_a_mapping_that_ends_above_it() {
        let local = 0;
        let place = (&raw const local).addr();
        let mapping = around(place).unwrap();
        assert!(mapping.contains(&place));
        let maps = File::open(c"/proc/self/maps").unwrap();
        assert_eq!(in_list(place, |buffer| maps.read(buffer)), Some(mapping));
        assert_eq!(around(0), None);
    }
}
