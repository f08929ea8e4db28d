//! The drawing library's errors, as lines.

/// What the drawing library reports.
pub(super) fn failed<E: std::error::Error>(error: E) -> String {
    format!("cannot draw: {error}")
}
