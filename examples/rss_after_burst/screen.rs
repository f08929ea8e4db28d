//! The curves while they grow: a chart of braille dots redrawn in place, or plain lines where there is no terminal.

use std::io::{IsTerminal, Write, stdout};

use crate::measure::{Run, Sample, Step};
use crate::options::{Allocator, Options};

/// Dots in one braille character.
const DOTS_ACROSS: usize = 2;
const DOTS_DOWN: usize = 4;
/// The bit of each dot in a braille character, by row and column.
const DOT_BITS: [[u32; DOTS_ACROSS]; DOTS_DOWN] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
/// Room for the numbers left of the chart.
const LABEL: usize = 10;
/// Seconds the axis grants each GiB of the burst itself, before the idle time; it grows where that is too little.
const SECONDS_PER_GIB: f64 = 2.0;

/// Draws or prints what happens.
pub struct Screen {
    terminal: bool,
    colour: bool,
    top_bytes: f64,
    seconds: f64,
    lines_drawn: usize,
    last_print: f64,
}

impl Screen {
    pub fn new(options: &Options) -> Self {
        Self {
            terminal: !options.plain && stdout().is_terminal(),
            colour: std::env::var_os("NO_COLOR").is_none(),
            top_bytes: (options.mib << 20) as f64 * 1.15,
            seconds: options.seconds as f64 + options.mib as f64 / 1024.0 * SECONDS_PER_GIB,
            lines_drawn: 0,
            last_print: f64::NEG_INFINITY,
        }
    }

    /// A new sample of the current child; `done` are the children before it.
    pub fn show(&mut self, done: &[Run], allocator: Allocator, samples: &[Sample], step: Step) {
        let Some(last) = samples.last() else { return };
        self.top_bytes = self.top_bytes.max(last.rss_bytes as f64);
        self.seconds = self.seconds.max(last.seconds);
        let doing = match step {
            Step::Filling => "allocating",
            Step::Freeing => "freeing",
            Step::Idle => "idle",
        };
        let line = format!(
            "{:<8}{:>6.1} s  {doing:<12}{:>8.1} MiB resident",
            allocator.name(),
            last.seconds,
            last.rss_bytes as f64 / (1 << 20) as f64
        );
        if self.terminal {
            self.draw(done, allocator, samples, &line);
        } else if samples.len() == 1 || last.seconds >= self.last_print + 1.0 {
            self.last_print = last.seconds;
            println!("{line}");
        }
    }

    fn draw(&mut self, done: &[Run], allocator: Allocator, samples: &[Sample], status: &str) {
        let (columns, rows) = terminal_size();
        let mut canvas = Canvas::new(columns.saturating_sub(LABEL + 2).clamp(20, 160), (rows / 2).clamp(6, 24));
        for run in done {
            self.curve(&mut canvas, run.allocator, &run.samples);
        }
        self.curve(&mut canvas, allocator, samples);

        let mut text = String::new();
        if self.lines_drawn > 0 {
            text += &format!("\x1b[{}A", self.lines_drawn);
        }
        let middle = canvas.height / 2;
        for row in 0..canvas.height {
            let label = match row {
                0 => format!("{:.0} MiB", self.top_bytes / (1 << 20) as f64),
                _ if row == middle => {
                    let share = 1.0 - (row as f64 / canvas.height as f64);
                    format!("{:.0} MiB", self.top_bytes * share / (1 << 20) as f64)
                }
                _ if row + 1 == canvas.height => "0".into(),
                _ => String::new(),
            };
            text += &format!("\x1b[2K{label:>LABEL$} ");
            canvas.write_row(row, self.colour, &mut text);
            text.push('\n');
        }
        let end = format!("{:.0} s", self.seconds);
        text += &format!("\x1b[2K{:>LABEL$} 0 s{end:>width$}\n", "", width = canvas.width - 3);
        text += "\x1b[2K";
        text += &" ".repeat(LABEL + 1);
        for legend in [Allocator::System, Allocator::Neap] {
            text += &self.painted(legend, &format!("━━ {}  ", legend.name()));
        }
        text += &format!("\n\x1b[2K{:>LABEL$} {status}\n", "");
        self.lines_drawn = canvas.height + 3;
        let mut out = stdout().lock();
        // A terminal that is gone is no reason to stop measuring.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn curve(&self, canvas: &mut Canvas, allocator: Allocator, samples: &[Sample]) {
        let (width, height) = (canvas.width * DOTS_ACROSS, canvas.height * DOTS_DOWN);
        let place = |sample: &Sample| {
            let x = sample.seconds / self.seconds * (width - 1) as f64;
            let y = (1.0 - sample.rss_bytes as f64 / self.top_bytes) * (height - 1) as f64;
            (x, y)
        };
        for pair in samples.windows(2) {
            let ((x0, y0), (x1, y1)) = (place(&pair[0]), place(&pair[1]));
            let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0);
            for step in 0..=steps as usize {
                let t = step as f64 / steps;
                canvas.dot((x0 + (x1 - x0) * t).round() as usize, (y0 + (y1 - y0) * t).round() as usize, allocator);
            }
        }
    }

    fn painted(&self, allocator: Allocator, text: &str) -> String {
        match self.colour {
            true => format!("{}{text}\x1b[0m", paint(allocator)),
            false => text.into(),
        }
    }
}

fn paint(allocator: Allocator) -> &'static str {
    match allocator {
        Allocator::System => "\x1b[33m",
        Allocator::Neap => "\x1b[36m",
    }
}

/// A grid of characters, each of 2 x 4 dots in the colour of the last curve that touched it.
struct Canvas {
    width: usize,
    height: usize,
    cells: Vec<Option<(u32, Allocator)>>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, cells: vec![None; width * height] }
    }

    fn dot(&mut self, x: usize, y: usize, allocator: Allocator) {
        let (column, row) = (x / DOTS_ACROSS, y / DOTS_DOWN);
        if column < self.width && row < self.height {
            let cell = &mut self.cells[row * self.width + column];
            let bits = cell.map_or(0, |(bits, _)| bits) | DOT_BITS[y % DOTS_DOWN][x % DOTS_ACROSS];
            *cell = Some((bits, allocator));
        }
    }

    fn write_row(&self, row: usize, colour: bool, text: &mut String) {
        let mut current = None;
        for cell in &self.cells[row * self.width..][..self.width] {
            let allocator = cell.map(|(_, allocator)| allocator);
            if colour && allocator != current {
                text.push_str(allocator.map_or("\x1b[0m", paint));
                current = allocator;
            }
            let dots = cell.and_then(|(bits, _)| char::from_u32(0x2800 + bits));
            text.push(dots.unwrap_or(' '));
        }
        if colour {
            text.push_str("\x1b[0m");
        }
    }
}

/// Columns and rows of the terminal, with a usual size where it does not tell.
fn terminal_size() -> (usize, usize) {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one winsize, and `size` is one.
    let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) };
    match done == 0 && size.ws_col > 0 && size.ws_row > 0 {
        true => (size.ws_col.into(), size.ws_row.into()),
        false => (80, 24),
    }
}
