//! Models of the allocator's protocols: the shipping source under loom. Each test's name is the property it checks.
//!
//! The package's README.md says what loom can see. `mutants/` proves that the models can fail.

mod check;
mod drain;
mod fork;
mod index;
mod pages;
mod slots;
mod table;
mod wakeup;
mod world;
