//! Boxes made and dropped, as many as the argument says: what `benches/fast_path.sh` lists and counts.

#[path = "../global.rs"]
mod global;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    neap_workloads::fast_path::pairs(count);
    if std::env::args().nth(2).is_some() {
        neap_workloads::fast_path::pairs_by_call(count);
    }
}
