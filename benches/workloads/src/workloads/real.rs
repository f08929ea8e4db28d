//! Real code: workloads whose code is in other people's libraries. The crate `benches/real` has the code, since its
//! dependencies are heavy; here are only the names, so that the driver need not build any of them.
//!
//! Each of these works at full speed on input from a seed, checks its results, frees all it has, and idles for 8 seconds. Its
//! pools of threads stay, as they do in a program that waits for its next job.

use crate::workload::{Code, Counts, Kind, PLAIN, Workload};

/// What all of them have in common.
const REAL: Workload = Workload {
    name: "",
    about: "",
    operation: "",
    variants: PLAIN,
    counts: Counts::Cores,
    kind: Kind::Program,
    code: Code::Elsewhere,
};

pub(super) const JSON: Workload = Workload {
    name: "json",
    about: "serde_json: documents become values, values are changed, merged and written again",
    operation: "KiB of JSON",
    counts: Counts::UpToCores,
    ..REAL
};

pub(super) const RUST_PARSE: Workload = Workload {
    name: "rust-parse",
    about: "syn: Rust source becomes syntax trees, which are walked and compared",
    operation: "KiB of source",
    counts: Counts::UpToCores,
    ..REAL
};

pub(super) const TEXT_INDEX: Workload = Workload {
    name: "text-index",
    about: "tantivy: documents are indexed in memory by threads of its own, segments are merged, queries are answered",
    operation: "document",
    ..REAL
};

pub(super) const HTTP: Workload = Workload {
    name: "http",
    about: "hyper: HTTP/1 over loopback, requests with bodies and headers in both directions",
    operation: "request",
    ..REAL
};

pub(super) const STRING_MAP: Workload = Workload {
    name: "string-map",
    about: "dashmap: threads insert, change, read and remove strings in one map",
    operation: "access",
    ..REAL
};

pub(super) const SORT_GROUP: Workload = Workload {
    name: "sort-group",
    about: "rayon: records with strings are sorted, grouped and summed up in parallel",
    operation: "record",
    ..REAL
};
