//! Writes the images that scripts/real_programs.sh feeds to its programs: the same bytes in every run.
//!
//! Built by rustc alone, without dependencies: PNG files whose data is stored, not compressed, so an optimiser has
//! work to do. Usage: inputs FOLDER.

use std::path::Path;
use std::{env, fs, io};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

/// A picture: three bytes of colour for a place.
type Picture = fn(usize, usize) -> [u8; 3];

const PICTURES: [(&str, Picture); 3] = [("gradient.png", gradient), ("plasma.png", plasma), ("blocks.png", blocks)];

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).expect("usage: inputs FOLDER");
    fs::create_dir_all(&folder)?;
    for (name, picture) in PICTURES {
        fs::write(Path::new(&folder).join(name), png(picture))?;
    }
    Ok(())
}

fn gradient(x: usize, y: usize) -> [u8; 3] {
    [(x * 255 / WIDTH) as u8, (y * 255 / HEIGHT) as u8, 128]
}

fn plasma(x: usize, y: usize) -> [u8; 3] {
    let noise = (x * 7919 ^ y * 104_729).wrapping_mul(2_654_435_761) >> 13;
    [(x * y / 64) as u8, (x + y) as u8, (noise & 15) as u8]
}

fn blocks(x: usize, y: usize) -> [u8; 3] {
    let block = (x / 16) * 31 + (y / 16) * 17;
    [(block % 5 * 50) as u8, (block % 3 * 80) as u8, (block % 2 * 255) as u8]
}

fn png(picture: Picture) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..HEIGHT {
        rows.push(0);
        rows.extend((0..WIDTH).flat_map(|x| picture(x, y)));
    }
    let mut header = Vec::new();
    header.extend((WIDTH as u32).to_be_bytes());
    header.extend((HEIGHT as u32).to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);

    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"IDAT", &stored(&rows));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(data);
    let sum = crc32(&file[start..]);
    file.extend(sum.to_be_bytes());
}

/// A zlib stream of stored blocks.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(0xFFFF).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(data).to_be_bytes());
    stream
}

fn crc32(data: &[u8]) -> u32 {
    let mut sum = !0u32;
    for byte in data {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}
