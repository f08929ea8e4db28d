//! The comparison's driver: builds one runner for each allocator and profile, runs them in turn, and writes tables and
//! plots. A library so that its pure parts are under test.

pub mod compare;
