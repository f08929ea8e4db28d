//! Ratios to the best peer on a logarithmic scale, one line for each row. neap is a bar, and a whisker shows its spread. Each
//! peer is a dot. The spreads of the peers are in the table, since so many whiskers would hide each other.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::allocators::OURS;
use super::super::metric::Metric;
use super::super::row::Row;
use super::error::failed;
use super::palette;

const LINE: i32 = 26;
const LEFT: i32 = 250;
const TOP: i32 = 96;
const BOTTOM: i32 = 54;
const WIDTH: i32 = 1100;
const RIGHT: i32 = 40;
/// The ends of the scale. A value outside is drawn at the end.
const LOW: f64 = 0.25;
const HIGH: f64 = 8.0;
const TICKS: [f64; 10] = [0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0];

fn x(ratio: f64) -> i32 {
    let part = (ratio.clamp(LOW, HIGH) / LOW).ln() / (HIGH / LOW).ln();
    LEFT + (part * f64::from(WIDTH - LEFT - RIGHT)) as i32
}

/// A line from the low end to the high one, with a stroke across at each.
fn whisker(low: i32, high: i32, y: i32) -> [[(i32, i32); 2]; 3] {
    [[(low, y), (high, y)], [(low, y - 5), (low, y + 5)], [(high, y - 5), (high, y + 5)]]
}

/// Draws the rows.
pub(super) fn draw(
    file: &Path,
    rows: &[&Row],
    names: &[&str],
    (what, metric): (&str, Metric),
    profile: &str,
) -> Result<(), String> {
    let height = TOP + LINE * rows.len() as i32 + BOTTOM;
    let root = SVGBackend::new(file, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let text = |size: i32, horizontal: HPos| {
        ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(horizontal, VPos::Center))
    };
    let put = |label: String, at: (i32, i32), style: TextStyle| root.draw(&Text::new(label, at, style)).map_err(failed);
    let shape = if profile == "lto" { "thin LTO" } else { "default release profile" };
    put(
        format!("{what} over the best peer's, {shape} (left is better; whisker: where another run should be)"),
        (WIDTH / 2, 20),
        text(20, HPos::Center),
    )?;
    legend(names, &put, &|at, name| {
        let colour = palette::colour(name);
        if name == OURS {
            root.draw(&Rectangle::new([(at.0 - 9, at.1 - 6), (at.0 + 5, at.1 + 6)], colour.filled())).map_err(failed)
        } else {
            root.draw(&Circle::new(at, 5, colour.filled())).map_err(failed)
        }
    })?;
    let bottom = height - BOTTOM;
    for tick in TICKS {
        let shade = if tick == 1.0 { BLACK } else { RGBColor(215, 215, 215) };
        root.draw(&PathElement::new([(x(tick), TOP - 8), (x(tick), bottom)], shade.stroke_width(1))).map_err(failed)?;
        let label = if tick == HIGH { format!("≥ {tick}") } else { tick.to_string() };
        put(label, (x(tick), bottom + 16), text(14, HPos::Center))?;
    }
    put("best peer".into(), (x(1.0), bottom + 36), text(14, HPos::Center))?;
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + LINE * index as i32 + LINE / 2;
        put(row.label(), (LEFT - 12, y), text(15, HPos::Right))?;
        if let Some(ratio) = row.ratio(OURS, metric) {
            let bar = [(LEFT, y - 8), (x(ratio.median), y + 8)];
            root.draw(&Rectangle::new(bar, palette::colour(OURS).filled())).map_err(failed)?;
        }
        for name in names.iter().rev().filter(|name| **name != OURS) {
            if let Some(ratio) = row.ratio(name, metric) {
                let dot = (x(ratio.median), y);
                root.draw(&Circle::new(dot, 6, WHITE.filled())).map_err(failed)?;
                root.draw(&Circle::new(dot, 5, palette::colour(name).filled())).map_err(failed)?;
            }
        }
        // Last, so that no dot hides it.
        if let Some(ratio) = row.ratio(OURS, metric).filter(|ratio| ratio.factor.is_some()) {
            for line in whisker(x(ratio.low()), x(ratio.high()), y) {
                root.draw(&PathElement::new(line, BLACK.stroke_width(2))).map_err(failed)?;
            }
        }
    }
    root.present().map_err(failed)
}

/// Puts a text somewhere.
type Put<'a> = dyn Fn(String, (i32, i32), TextStyle<'static>) -> Result<(), String> + 'a;
/// Draws an allocator's mark somewhere.
type Mark<'a> = dyn Fn((i32, i32), &str) -> Result<(), String> + 'a;

/// Marks and names in two lines under the title.
fn legend(names: &[&str], put: &Put, mark: &Mark) -> Result<(), String> {
    let style = ("sans-serif", 15).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    let columns = names.len().div_ceil(2).max(1);
    let step = (WIDTH - LEFT / 2 - RIGHT) / columns as i32;
    for (index, name) in names.iter().enumerate() {
        let at = (LEFT / 2 + step * (index % columns) as i32, 48 + 22 * (index / columns) as i32);
        mark(at, name)?;
        put((*name).to_owned(), (at.0 + 12, at.1), style.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whisker_has_an_end_on_either_side() {
        let [line, low, high] = whisker(10, 30, 7);
        assert_eq!(line, [(10, 7), (30, 7)]);
        assert!(low.iter().all(|end| end.0 == 10) && high.iter().all(|end| end.0 == 30));
    }

    #[test]
    fn the_scale_is_logarithmic_and_closed() {
        assert_eq!(x(LOW), LEFT);
        assert_eq!(x(0.01), LEFT);
        assert_eq!(x(HIGH), WIDTH - RIGHT);
        assert_eq!(x(100.0), WIDTH - RIGHT);
        assert!((x(1.0) - x(0.5) - (x(2.0) - x(1.0))).abs() <= 1);
    }
}
