//! Memory over time: one panel for each row, one line for each allocator (from its first round), the page optimum dashed.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::super::metric::Metric;
use super::super::record::Run;
use super::super::row::Row;
use super::error::failed;
use super::palette;

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
        let bytes = |resident, physical| match self {
            Memory::Resident => resident,
            Memory::Physical => physical,
        };
        let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
        run.memory().map(|(at, resident, physical)| (at, mib(bytes(resident, physical)))).collect()
    }
}

/// Size of a panel when there are several, and when there is one.
const PANELS: (u32, u32) = (640, 350);
const SINGLE: (u32, u32) = (1000, 420);
/// An entry of the legend.
const ENTRY: (i32, i32) = (235, 26);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the rows, two side by side, over a legend.
pub(super) fn draw(file: &Path, rows: &[&Row], names: &[&str], memory: Memory) -> Result<(), String> {
    let size = if rows.len() == 1 { SINGLE } else { PANELS };
    let columns = rows.len().min(2);
    let lines = rows.len().div_ceil(columns);
    let (width, panels) = (size.0 * columns as u32, size.1 * lines as u32);
    let legend_columns = width as i32 / ENTRY.0;
    let entries = names.len() as i32 + 1;
    let strip = ENTRY.1 * (entries + legend_columns - 1) / legend_columns + 30;
    let root = SVGBackend::new(file, (width, panels + strip as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let (above, below) = root.split_vertically(panels);
    for (row, area) in rows.iter().zip(above.split_evenly((lines, columns))) {
        panel(&area, row, memory)?;
    }
    legend(&below, rows, names, legend_columns)?;
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
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.1}") })
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 14))
        .draw()
        .map_err(failed)?;
    if let Some(optimum) = optimum(row) {
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

fn legend(area: &Area, rows: &[&Row], names: &[&str], columns: i32) -> Result<(), String> {
    let text = ("sans-serif", 16).into_font();
    let place = |index: i32| (30 + ENTRY.0 * (index % columns), 16 + ENTRY.1 * (index / columns));
    for (index, name) in (0..).zip(names) {
        let (x, y) = place(index);
        let style = palette::colour(name).stroke_width(palette::width(name));
        area.draw(&PathElement::new([(x, y), (x + 34, y)], style)).map_err(failed)?;
        let failed_here = rows.iter().any(|row| row.cell(name).is_some_and(|cell| cell.failure.is_some()));
        let label = if failed_here { format!("{name} (failed)") } else { (*name).to_owned() };
        area.draw(&Text::new(label, (x + 42, y - 9), text.clone())).map_err(failed)?;
    }
    if rows.iter().any(|row| optimum(row).is_some()) {
        let (x, y) = place(names.len() as i32);
        for start in [x, x + 13, x + 26] {
            area.draw(&PathElement::new([(start, y), (start + 8, y)], BLACK)).map_err(failed)?;
        }
        area.draw(&Text::new("page optimum", (x + 42, y - 9), text)).map_err(failed)?;
    }
    Ok(())
}

/// The page optimum of a row, if it has one.
fn optimum(row: &Row) -> Option<f64> {
    row.cells.iter().find_map(|cell| cell.median(Metric::Optimum)).filter(|optimum| *optimum > 0.0)
}
