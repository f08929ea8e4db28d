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
    show("after the last free: most is still retained, ready for reuse");

    let bytes = neap::scavenge();
    show(&format!("after neap::scavenge(), which released {:.1} MiB at once", mib(bytes)));
}

fn show(moment: &str) {
    let stats = neap::stats();
    println!("== {moment}");
    println!("{stats}");
    println!(
        "   mapped {:.1} MiB = in use {:.1} + retained {:.1} + released {:.1} + in flight {:.1} + cached {:.1}",
        mib(stats.mapped),
        mib(stats.in_use),
        mib(stats.retained),
        mib(stats.released),
        mib(stats.in_flight),
        mib(stats.cached),
    );
    println!();
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
