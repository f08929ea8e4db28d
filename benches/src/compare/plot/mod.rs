//! The plots, as SVG: memory over time (after bursts, of waiting threads, in phases, under real code), and the ratios of each
//! row.

use std::path::{Path, PathBuf};

use neap_workloads::workload::Kind;

use super::metric::Metric;
use super::row::Row;
use super::summary::Summary;

mod error;
mod lines;
mod palette;
mod ratios;

/// Draws all plots for which there are figures, and says where they are.
pub fn draw(summary: &Summary, directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for profile in &summary.profiles {
        let time = if summary.header.cpu_time { "CPU time" } else { "time" };
        for (name, what, metric) in [("ratios", time, Metric::Time), ("peak-rss", "peak RSS", Metric::PeakRss)] {
            let rows: Vec<_> =
                summary.of_profile(profile).filter(|row| row.is_timed() && row.best_peer(metric).is_some()).collect();
            if !rows.is_empty() {
                let file = directory.join(format!("{name}-{profile}.svg"));
                ratios::draw(&file, &rows, &summary.allocators(), (what, metric), profile)?;
                files.push(file);
            }
        }
        for name in ["burst", "waiting", "phases", "shifting", "real"] {
            let is_shown = |row: &&Row| row.workload == name || name == "real" && row.kind == Kind::Program;
            let rows: Vec<_> = summary.of_profile(profile).filter(is_shown).collect();
            if rows.is_empty() {
                continue;
            }
            for memory in [lines::Memory::Resident, lines::Memory::Physical] {
                let file = directory.join(format!("{name}-{}-{profile}.svg", memory.name()));
                lines::draw(&file, &rows, &summary.allocators(), memory)?;
                files.push(file);
            }
        }
    }
    Ok(files)
}
