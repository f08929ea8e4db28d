//! One process of the comparison: runs one workload on the global allocator that the build chose, prints one JSON line.
//!
//! The workloads live in a library crate on purpose: in the default profile their allocations cross a crate boundary,
//! as those of most programs' dependencies do; with thin LTO they may be inlined.

#[cfg(feature = "neap")]
#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

#[cfg(any(feature = "mimalloc2", feature = "mimalloc3"))]
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static GLOBAL: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(feature = "snmalloc")]
#[global_allocator]
static GLOBAL: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

#[cfg(feature = "rpmalloc")]
#[global_allocator]
static GLOBAL: rpmalloc::RpMalloc = rpmalloc::RpMalloc;

#[cfg(feature = "rusty_alloc")]
#[global_allocator]
static GLOBAL: rusty_alloc_api::RustyAlloc = rusty_alloc_api::RustyAlloc;

#[cfg(feature = "ferroc")]
#[global_allocator]
static GLOBAL: ferroc::Ferroc = ferroc::Ferroc;

fn main() -> std::process::ExitCode {
    neap_workloads::command_line::main()
}
