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
}

fn show(moment: &str) {
    println!("== {moment}\n{}", neap::stats());
}
