//! Memory over time: a panel for each row, a line for each allocator, the page optimum dashed.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::super::record::Run;
use super::super::summary::{Metric, Row};
use super::{failed, palette};

/// Which memory is shown.
#[derive(Clone, Copy)]
pub(super) enum Memory {
    /// Resident memory, as monitors show it.
    Resident,
    /// Memory taken from the machine.
    Physical,
}

impl Memory {
    /// Part of the file name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Memory::Resident => "rss",
            Memory::Physical => "physical",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Memory::Resident => "resident memory (RSS)",
            Memory::Physical => "physical memory",
        }
    }

    /// Seconds and MiB of a run.
    fn points(self, run: &Run) -> Vec<(f64, f64)> {
        let bytes = |sample: &(f64, u64, u64)| match self {
            Memory::Resident => sample.1,
            Memory::Physical => sample.2,
        };
        run.samples.iter().map(|sample| (sample.0, bytes(sample) as f64 / 1024.0 / 1024.0)).collect()
    }
}

const PANEL: (u32, u32) = (640, 360);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the rows side by side, with the legend in a panel of its own.
pub(super) fn draw(file: &Path, rows: &[&Row], names: &[&str], memory: Memory) -> Result<(), String> {
    let panels = rows.len() + 1;
    let columns = panels.min(2);
    let lines = panels.div_ceil(columns);
    let root = SVGBackend::new(file, (PANEL.0 * columns as u32, PANEL.1 * lines as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let areas = root.split_evenly((lines, columns));
    for (row, area) in rows.iter().zip(&areas) {
        panel(area, row, memory)?;
    }
    legend(&areas[rows.len()], rows, names)?;
    root.present().map_err(failed)
}

fn panel(area: &Area, row: &Row, memory: Memory) -> Result<(), String> {
    let curves: Vec<_> = row
        .cells
        .iter()
        .filter(|cell| cell.failure.is_none())
        .filter_map(|cell| cell.runs.first().map(|run| (cell.allocator.as_str(), memory.points(run))))
        .collect();
    let all = || curves.iter().flat_map(|curve| &curve.1);
    let end = all().map(|point| point.0).fold(1.0, f64::max);
    let top = all().map(|point| point.1).fold(1.0, f64::max) * 1.08;
    let variant = if row.variant.is_empty() { String::new() } else { format!(", {}", row.variant) };
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{}{variant}: {}", row.workload, memory.title()), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(66)
        .build_cartesian_2d(0.0..end, 0.0..top)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("seconds")
        .y_desc("MiB")
        .x_labels(7)
        .y_labels(7)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 14))
        .draw()
        .map_err(failed)?;
    let optimum = row.cells.iter().find_map(|cell| cell.median(Metric::Optimum)).filter(|optimum| *optimum > 0.0);
    if let Some(optimum) = optimum {
        chart
            .draw_series(DashedLineSeries::new([(0.0, optimum), (end, optimum)], 6, 4, BLACK.stroke_width(1)))
            .map_err(failed)?;
    }
    // The first allocator is ours: drawn last, it lies on top.
    for (name, points) in curves.into_iter().rev() {
        let style = palette::colour(name).stroke_width(palette::width(name));
        chart.draw_series(LineSeries::new(points, style)).map_err(failed)?;
    }
    Ok(())
}

fn legend(area: &Area, rows: &[&Row], names: &[&str]) -> Result<(), String> {
    let text = ("sans-serif", 17).into_font();
    let mut at = 46;
    for name in names {
        let style = palette::colour(name).stroke_width(palette::width(name));
        area.draw(&PathElement::new([(90, at), (140, at)], style)).map_err(failed)?;
        let failure = rows.iter().find_map(|row| row.cell(name)?.failure.as_deref());
        let label = failure.map_or((*name).to_owned(), |failure| format!("{name}: {failure:.40}"));
        area.draw(&Text::new(label, (154, at - 9), text.clone())).map_err(failed)?;
        at += 24;
    }
    if rows.iter().any(|row| row.variant != "all-freed" && !row.variant.is_empty()) {
        for start in (90..140).step_by(10) {
            area.draw(&PathElement::new([(start, at), (start + 6, at)], BLACK)).map_err(failed)?;
        }
        area.draw(&Text::new("page optimum: OS pages with a live object", (154, at - 9), text)).map_err(failed)?;
    }
    Ok(())
}
