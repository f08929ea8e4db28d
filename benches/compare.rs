//! `cargo bench -p neap-benches --bench compare -- [options]`: the comparison.

fn main() -> std::process::ExitCode {
    neap_benches::compare::main()
}
