//! The workloads of the comparison, and what it takes to measure them without disturbing the allocator under test.
//!
//! One process runs one workload once and prints one JSON line ([`command_line`]). All random numbers come from fixed
//! seeds, and the work is a fixed number of operations. So every allocator gets exactly the same requests.
//!
//! The benchmark's own tables (live objects, histograms, sizes) lie in mappings of their own ([`measure::raw`]), never in the
//! allocator under test. They are subtracted from the peak RSS.

pub mod block;
pub mod command_line;
pub mod fast_path;
pub mod measure;
pub mod outcome;
pub mod parts;
pub mod random;
pub mod scale;
pub mod sizes;
pub mod threads;
pub mod workload;
pub mod workloads;
