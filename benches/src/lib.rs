//! Shared parts of the comparison.
