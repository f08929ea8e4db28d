//! Real code for the comparison: six libraries at work on input from a seed.
//!
//! One module a workload. Each makes its input, does its work on it, checks what came out, and frees everything; [`program`]
//! times the work and then idles, so that the driver sees what stays. The names and descriptions are in `neap-workloads`
//! (`workloads::real`), which the driver can read without building this crate.

use neap_workloads::workload::Supplied;

mod http;
mod json;
mod program;
mod rust_parse;
mod sort_group;
mod string_map;
mod text;
mod text_index;

/// All of them, by name.
pub const ALL: &[Supplied] = &[
    ("json", json::run),
    ("rust-parse", rust_parse::run),
    ("text-index", text_index::run),
    ("http", http::run),
    ("string-map", string_map::run),
    ("sort-group", sort_group::run),
];

#[cfg(test)]
mod tests {
    use neap_workloads::scale::Scale;
    use neap_workloads::workload::Job;
    use neap_workloads::workloads;

    #[test]
    fn every_name_has_code_and_the_code_runs() {
        for workload in workloads::ALL.iter().filter(|workload| workload.is_real()) {
            let run = workload.function(super::ALL).unwrap_or_else(|| panic!("{} has no code", workload.name));
            for threads in [1, 3] {
                let outcome = run(&Job { threads, scale: Scale::Tiny, variant: "" });
                for figure in ["ops", "wall_ns", "baseline_rss_bytes"] {
                    assert!(outcome.get(figure) > Some(0), "{} x{threads}: {figure}", workload.name);
                }
            }
        }
        assert_eq!(super::ALL.len(), workloads::ALL.iter().filter(|workload| workload.is_real()).count());
    }
}
