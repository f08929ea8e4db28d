//! Measuring without allocating: clocks and counters, memory of our own, latencies.

pub mod cpus;
pub mod histogram;
pub mod pages;
pub mod process;
pub mod raw;
pub mod usage;
