//! The smallest program on neap: one line chooses the allocator, and nothing else changes.
//!
//! `cargo run --release --example hello`

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

fn main() {
    let words: Vec<String> = ["hello", "from", "neap"].map(String::from).to_vec();
    println!("{}", words.join(" "));
}
