//! The end of the story: a table on stdout and a plot as SVG.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::prelude::*;

use crate::measure::Run;
use crate::options::{Allocator, Options};

/// The first of the two moments the table shows.
const SOON_SECONDS: f64 = 2.0;

/// Prints the table.
pub fn print_table(runs: &[Run], options: &Options) {
    if let Some(run) = runs.first() {
        println!(
            "\n{} MiB in {} objects of 16 to 2048 bytes; {} of them ({:.1} MiB) stay, {}; then {} s idle.\n",
            options.mib,
            run.objects,
            run.survivors,
            mib(run.live_bytes),
            options.survivors.name(),
            options.seconds
        );
    }
    let at_end = format!("after {} s", options.seconds);
    println!(
        "{:<8} {:>11} {:>11} {:>11} {:>9} {:>13} {:>13} {:>12}",
        "", "peak RSS", "after 2 s", at_end, "GiB*s", "page optimum", "CPU idle", "machine *"
    );
    for run in runs {
        let soon = run.bytes_after(SOON_SECONDS).map_or("-".into(), |bytes| format!("{:.1} MiB", mib(bytes)));
        let cpu = run.idle_cpu.map_or("-".into(), |time| format!("{:.0} ms", time.as_secs_f64() * 1e3));
        let machine =
            run.machine_bytes.map_or("-".into(), |bytes| format!("{:.0} MiB", bytes as f64 / (1 << 20) as f64));
        println!(
            "{:<8} {:>7.1} MiB {:>11} {:>7.1} MiB {:>9.2} {:>9.1} MiB {:>13} {:>12}",
            run.allocator.name(),
            mib(run.peak_bytes),
            soon,
            mib(run.last_bytes()),
            run.gib_seconds(),
            mib(run.optimum_bytes),
            cpu,
            machine
        );
    }
    println!(
        "\nGiB*s: RSS integrated over the idle time. Page optimum: the OS pages that hold a live object.\n\
         * How much less free memory the whole machine had at the end than before the burst; other programs count too."
    );
}

/// Writes the plot and says where it is.
pub fn write_plot(runs: &[Run], options: &Options) -> Result<PathBuf, Box<dyn Error>> {
    let path = options.svg.clone().unwrap_or_else(default_path);
    draw(runs, options, &path)?;
    Ok(path)
}

/// The target directory this very binary lies in, three levels up; else the current directory.
fn default_path() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().nth(3).filter(|path| path.is_dir()).unwrap_or(Path::new("."));
    target.join("rss_after_burst.svg")
}

fn draw(runs: &[Run], options: &Options, path: &Path) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (960, 540)).into_drawing_area();
    root.fill(&WHITE)?;
    let before = runs.iter().map(|run| run.freed_at).fold(0.0, f64::max);
    let top = runs.iter().map(|run| mib(run.peak_bytes)).fold(0.0, f64::max) * 1.08;
    let optimum = runs.iter().map(|run| mib(run.optimum_bytes)).fold(f64::INFINITY, f64::min);
    let (from, to) = (-before, options.seconds as f64);
    let title = format!(
        "{} MiB of small objects, {} % stay, {}, then idle",
        options.mib,
        options.keep,
        options.survivors.name()
    );
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(from..to, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("seconds since the last free")
        .y_desc("RSS in MiB")
        .x_label_formatter(&|x| format!("{}", (x * 10.0).round() / 10.0))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .axis_desc_style(("sans-serif", 16))
        .label_style(("sans-serif", 14))
        .draw()?;
    for run in runs {
        let colour = colour(run.allocator);
        let points = run.samples.iter().map(|sample| (sample.seconds - run.freed_at, mib(sample.rss_bytes)));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(3)))?
            .label(format!("{}: {:.0} MiB at the end", run.allocator.name(), mib(run.last_bytes())))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)));
    }
    if optimum.is_finite() {
        let style = BLACK.mix(0.5).stroke_width(1);
        chart
            .draw_series(DashedLineSeries::new([(0.0, optimum), (to, optimum)], 6, 4, style))?
            .label(format!("pages with a live object: {optimum:.0} MiB"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .margin(12)
        .legend_area_size(32)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 15))
        .draw()?;
    root.present()?;
    Ok(())
}

fn colour(allocator: Allocator) -> RGBColor {
    match allocator {
        Allocator::System => RGBColor(0xD9, 0x7A, 0x06),
        Allocator::Neap => RGBColor(0x08, 0x7F, 0x8C),
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}
