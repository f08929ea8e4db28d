//! What neap says about itself while a program fills memory, frees it, and asks for it to be given back.
//!
//! `cargo run --release --example stats`

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

const OBJECTS: usize = 200_000;
const OBJECT_BYTES: usize = 512;

fn main() {
    show("at the start");

    let objects: Vec<Box<[u8]>> = (0..OBJECTS).map(|i| vec![i as u8; OBJECT_BYTES].into_boxed_slice()).collect();
    show(&format!("with {OBJECTS} objects of {OBJECT_BYTES} bytes"));

    drop(objects);
    show("after the last free: retained for the next burst, until the scavenger finds that none comes");

    let bytes = neap::scavenge();
    show(&format!("after neap::scavenge(), which says that it released {:.1} MiB", bytes as f64 / (1 << 20) as f64));

    println!("All there is to know:\n{}", neap::stats());
}

/// The first line adds up; the kernel's view stands below it for comparison.
fn show(moment: &str) {
    let stats = neap::stats();
    println!("== {moment}\n   {}", stats.to_string().lines().next().unwrap_or_default());
    println!(
        "   backed by neap's books {} KiB, resident as the kernel sees it {}\n",
        stats.backed_bytes() >> 10,
        resident()
    );
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap_or("unknown").trim().replace("kB", "KiB")
}
