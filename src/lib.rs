//! neap: a global allocator that gives idle memory back to the OS.
#![no_std]

pub mod size_class;
pub mod units;
