//! Data structures that several workloads share.

pub mod cache;
pub mod graph;
