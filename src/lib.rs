//! neap: a global allocator that gives idle memory back to the OS.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod config;
pub mod pacing;
pub mod stats;
pub mod units;
