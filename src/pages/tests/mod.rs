//! Tests of the page allocator: tables, slow twins, and random programs against the model.

mod alloc;
mod cache;
mod candidate;
mod model;
mod support;
mod words;
