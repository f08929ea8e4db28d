//! One process of the comparison on `mimalloc-pprof`. See `../runner/src/main.rs`.

#[cfg(feature = "mimalloc-pprof")]
#[global_allocator]
static GLOBAL: mimalloc_pprof::MiMalloc = mimalloc_pprof::MiMalloc;

#[cfg(feature = "real")]
const REAL: &[neap_workloads::workload::Supplied] = neap_real::ALL;
#[cfg(not(feature = "real"))]
const REAL: &[neap_workloads::workload::Supplied] = &[];

fn main() -> std::process::ExitCode {
    neap_workloads::command_line::main(REAL)
}
