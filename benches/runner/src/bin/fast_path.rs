//! Boxes made and dropped, as many as the argument says, in a loop or (with another argument) through calls: what
//! `benches/fast_path.sh` lists and counts.

#[path = "../global.rs"]
mod global;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    match std::env::args().nth(2) {
        Some(_) => neap_workloads::fast_path::pairs_by_call(count),
        None => neap_workloads::fast_path::pairs(count),
    }
}
