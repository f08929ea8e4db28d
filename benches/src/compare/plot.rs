//! The plots.
use super::summary::Summary;
use std::path::{Path, PathBuf};
/// Draws.
pub fn draw(_s: &Summary, _d: &Path) -> Result<Vec<PathBuf>, String> {
    Ok(vec![])
}
