//! neap: a global allocator that gives idle memory back to the OS.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod pacing;
pub mod units;
