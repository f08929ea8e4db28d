//! The child process: a burst of mixed small objects, most of them freed, then idleness.
//!
//! The child reports each step as a line on stdout. Then it sleeps in a read of stdin. An idle child runs no code of its own,
//! so all its CPU time belongs to the allocator. The child computes the page optimum after the measurement, because the
//! computation takes memory.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};

use crate::options::{Options, Survivors};

/// Object sizes are spread evenly over the powers of two between these.
const SMALLEST_BYTES: f64 = 16.0;
const LARGEST_BYTES: f64 = 2048.0;
/// Objects in one cluster of survivors.
const CLUSTER: usize = 2000;

/// What the child tells its parent, one line each.
pub mod says {
    /// Started, nothing allocated yet.
    pub const READY: &str = "ready";
    /// All objects are there; then their number.
    pub const FULL: &str = "full";
    /// Only the survivors are left; then their number and their bytes.
    pub const FREED: &str = "freed";
    /// The bytes of OS pages that hold a survivor.
    pub const OPTIMUM: &str = "optimum";
}

/// Runs the burst, step by step as the parent asks.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    say(format_args!("{}", says::READY))?;
    wait()?;

    let objects = fill((options.mib << 20) as usize);
    say(format_args!("{} {}", says::FULL, objects.len()))?;

    let survivors = free_most(objects, options);
    let live: usize = survivors.iter().map(|object| object.len()).sum();
    say(format_args!("{} {} {live}", says::FREED, survivors.len()))?;
    wait()?;

    check(&survivors)?;
    say(format_args!("{} {}", says::OPTIMUM, page_optimum(&survivors)))
}

fn say(line: std::fmt::Arguments<'_>) -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

fn wait() -> Result<(), Box<dyn Error>> {
    match stdin().lock().read_line(&mut String::new())? {
        0 => Err("the parent process has gone".into()),
        _ => Ok(()),
    }
}

/// Objects of mixed sizes until they add up to `total` bytes, each written from end to end.
fn fill(total: usize) -> Vec<Box<[u8]>> {
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    let mut objects = Vec::new();
    let mut bytes = 0;
    while bytes < total {
        let size = (SMALLEST_BYTES * (LARGEST_BYTES / SMALLEST_BYTES).powf(random.fraction())) as usize;
        objects.push(vec![mark(size); size].into_boxed_slice());
        bytes += size;
    }
    objects
}

/// Frees everything but the survivors, in the order of allocation, and the big table itself.
fn free_most(objects: Vec<Box<[u8]>>, options: &Options) -> Vec<Box<[u8]>> {
    let mut random = Random(0x0FED_CBA9_8765_4321);
    let share = options.keep / 100.0;
    let mut survivors = Vec::with_capacity((objects.len() as f64 * share * 1.1) as usize + CLUSTER);
    let mut stays = false;
    for (index, object) in objects.into_iter().enumerate() {
        if options.survivors == Survivors::Scattered || index % CLUSTER == 0 {
            stays = random.fraction() < share;
        }
        if stays {
            survivors.push(object);
        }
    }
    survivors
}

/// What an object of this size is filled with.
fn mark(size: usize) -> u8 {
    (size % 251) as u8 + 1
}

fn check(survivors: &[Box<[u8]>]) -> Result<(), Box<dyn Error>> {
    match survivors.iter().all(|object| object.iter().all(|byte| *byte == mark(object.len()))) {
        true => Ok(()),
        false => Err("a surviving object has changed".into()),
    }
}

/// Bytes of OS pages that hold a survivor or their table: no allocator that leaves objects in place can keep less.
fn page_optimum(survivors: &[Box<[u8]>]) -> usize {
    // SAFETY: sysconf has no preconditions.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let pages_of = |address: usize, bytes: usize| address / page_bytes..=(address + bytes - 1) / page_bytes;
    let mut pages: Vec<usize> =
        survivors.iter().flat_map(|object| pages_of(object.as_ptr() as usize, object.len())).collect();
    if !survivors.is_empty() {
        pages.extend(pages_of(survivors.as_ptr() as usize, size_of_val(survivors)));
    }
    pages.sort_unstable();
    pages.dedup();
    pages.len() * page_bytes
}

/// xorshift64: the same objects in every run, without a dependency.
struct Random(u64);

impl Random {
    /// A number from 0 up to, not including, 1.
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
