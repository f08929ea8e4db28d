//! One process of the comparison: runs one workload on the global allocator that the build chose, prints one JSON line.
//!
//! The workloads live in a library crate on purpose. In the default profile their allocations cross a crate boundary, as the
//! allocations of most dependencies do. With thin LTO they may be inlined.

mod global;

#[cfg(feature = "real")]
const REAL: &[neap_workloads::workload::Supplied] = neap_real::ALL;
#[cfg(not(feature = "real"))]
const REAL: &[neap_workloads::workload::Supplied] = &[];

fn main() -> std::process::ExitCode {
    neap_workloads::command_line::main(REAL)
}
