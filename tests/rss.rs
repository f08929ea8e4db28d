//! RSS after a burst, compared with the optimum: the OS pages that hold a live object. No test asserts a time: a deadline only
//! guards against waiting for ever. Each case has a process of its own.

mod common;

use std::alloc::GlobalAlloc;
use std::collections::HashSet;

use common::{MIB, Random, child, layout, rss_bytes};

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

const BURST_BYTES: usize = 256 * MIB;
/// One object in fifty survives.
const SURVIVORS_PART: usize = 50;

#[derive(Clone, Copy)]
struct Object {
    base: *mut u8,
    bytes: u32,
}

impl Object {
    fn new(bytes: usize) -> Self {
        // SAFETY: the size is not zero.
        let base = unsafe { GLOBAL.alloc(layout(bytes)) };
        // SAFETY: the object has that many bytes.
        unsafe { base.write_bytes(bytes as u8, bytes) };
        Self { base, bytes: bytes as u32 }
    }

    fn free(self) {
        // SAFETY: each object is freed once.
        unsafe { GLOBAL.dealloc(self.base, layout(self.bytes as usize)) };
    }

    /// Whether every byte is as it was written.
    fn is_whole(&self) -> bool {
        // SAFETY: a live object.
        let bytes = unsafe { std::slice::from_raw_parts(self.base, self.bytes as usize) };
        bytes.iter().all(|byte| *byte == self.bytes as u8)
    }
}

/// Which objects survive: by index and count.
fn scattered() -> impl FnMut(usize, usize) -> bool {
    let mut random = Random(0x5eed);
    move |_, _| random.below(SURVIVORS_PART) == 0
}

/// Ten clusters of neighbours.
fn clustered(index: usize, count: usize) -> bool {
    index % (count / 10) < count / 10 / SURVIVORS_PART
}

fn none(_: usize, _: usize) -> bool {
    false
}

/// What releases the burst's memory.
#[derive(Clone, Copy)]
enum By {
    Call,
    Thread,
    /// The threads that allocate, since the scavenger has no thread.
    Allocation,
}

fn burst(mut survives: impl FnMut(usize, usize) -> bool, by: By) {
    let mut random = Random(42);
    neap::scavenge();
    let before = rss_bytes();
    let mut objects = Vec::new();
    let mut bytes = 0;
    while bytes < BURST_BYTES {
        let size = match random.below(10) {
            0 => 1024 + random.below(3072),
            1..4 => 128 + random.below(896),
            _ => 16 + random.below(112),
        };
        objects.push(Object::new(size));
        bytes += size;
    }
    let peak = rss_bytes();
    assert!(peak - before >= BURST_BYTES, "{before} {peak}");
    let count = objects.len();
    let mut survivors = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        if survives(index, count) { survivors.push(*object) } else { object.free() }
    }
    drop(objects);
    survivors.shrink_to_fit();
    // The optimum: OS pages with a byte of a live object on them.
    // SAFETY: sysconf has no preconditions.
    let os_page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let touched =
        |object: &Object| object.base.addr() / os_page..=(object.base.addr() + object.bytes as usize - 1) / os_page;
    let pages: HashSet<usize> = survivors.iter().flat_map(touched).collect();
    let optimum = pages.len() * os_page + survivors.len() * size_of::<Object>();
    drop(pages);
    // A sixteenth above the optimum, the allocator's own tables, and what the process itself needs.
    let bound = before + optimum + optimum / 16 + 6 * MIB;
    match by {
        By::Call => {
            neap::scavenge();
            let after = rss_bytes();
            assert!(after <= bound, "{after} above {bound}, optimum {optimum}, before {before}\n{}", neap::stats());
        }
        // The floor that the policy keeps, and the caches of this thread.
        By::Thread => wait_for_rss(bound + 3 * MIB),
        By::Allocation => {
            let noise = || {
                // The program goes on a little.
                (0..100).map(|_| Object::new(20_000)).collect::<Vec<_>>().into_iter().for_each(Object::free);
                neap::stats().retained_bytes < 4 << 20
            };
            common::wait_until("the release of the burst", noise);
            wait_for_rss(bound + 8 * MIB);
        }
    }
    assert!(survivors.iter().all(Object::is_whole), "a live object was released");
    survivors.into_iter().for_each(Object::free);
    neap::scavenge();
    let end = rss_bytes();
    assert!(end <= before + 6 * MIB, "{end} {before}\n{}", neap::stats());
    let stats = neap::stats();
    assert!(stats.adds_up() && stats.retained_bytes == 0, "{stats}");
}

/// Looks seldom: walking the page tables all the time would make this a busy process.
fn wait_for_rss(bound: usize) {
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(300));
        if rss_bytes() <= bound {
            return;
        }
    }
    panic!("{} above {bound}\n{}", rss_bytes(), neap::stats());
}

#[test]
fn scattered_survivors_keep_their_pages_only() {
    child!().holds(|| burst(scattered(), By::Call));
}

#[test]
fn scattered_survivors_keep_their_pages_only_in_the_background() {
    child!().holds(|| burst(scattered(), By::Thread));
}

#[test]
fn clustered_survivors_keep_their_pages_only() {
    child!().holds(|| burst(clustered, By::Call));
}

#[test]
fn clustered_survivors_keep_their_pages_only_in_the_background() {
    child!().holds(|| burst(clustered, By::Thread));
}

#[test]
fn a_burst_that_is_freed_is_gone() {
    child!().holds(|| burst(none, By::Call));
}

#[test]
fn a_burst_that_is_freed_is_gone_in_the_background() {
    child!().holds(|| burst(none, By::Thread));
}

#[test]
fn a_burst_that_is_freed_is_gone_without_the_thread() {
    child!().env("NEAP_SCAVENGER", "off").holds(|| burst(none, By::Allocation));
}
