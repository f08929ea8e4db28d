//! Tests of the page bookkeeping: slow twins, the tables of the design, and a model.

mod alloc;
mod cache;
mod candidate;
mod model;
mod support;
mod words;
