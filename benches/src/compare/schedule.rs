//! The order of the processes: rounds outermost, then profiles, then rows, then allocators. The order of the allocators
//! rotates, so that neither a warm machine nor a noisy minute favours one of them.
//!
//! A short process suffers from any neighbour on its core. So each allocator has up to `TURNS` turns in a row and round,
//! until its processes have worked for `ENOUGH` together. The order is reversed from turn to turn, and the median of the
//! turns counts. More rounds would cost a slow allocator as much time as a quick one; turns spend the time on the figures
//! that need it.
//!
//! A process that idles takes seconds. Such processes idle side by side if the kernel can tell their memory apart. Only one
//! of them works at a time, and the next one starts after the seconds in which an allocator gives memory back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use neap_workloads::workload::Kind;

use super::build::Content;
use super::contenders::{self, Contender};
use super::machine;
use super::options::{Options, Profile};
use super::pace::Pace;
use super::places::Places;
use super::process::{self, Task};
use super::record::{Record, Run, Writer};
use super::rows::{self, Row};
use super::sampling::{self, Physical};
use super::warm;

/// Memory that a burst takes at its peak, with room to spare.
const BURST_BYTES: u64 = 2 << 30;
/// Memory to touch before a program of real code.
const PROGRAM_BYTES: u64 = 1 << 30;
/// The peak that is assumed for a process before the first one has reported its own.
const FIRST_PEAK: u64 = 400 << 20;
/// Most bursts that idle side by side.
const SIDE_BY_SIDE: usize = 6;

/// Most turns that an allocator has in a row and round (one in a quick run), and the measured time that ends them.
const TURNS: usize = 3;
const ENOUGH: Duration = Duration::from_millis(100);
/// How often a process is repeated if the machine's host took its processors away.
const AGAIN: usize = 2;

/// A run of the comparison.
struct Schedule<'a> {
    options: &'a Options,
    rows: Vec<Row>,
    contenders: Vec<Contender>,
    pace: Pace,
    /// Whether free memory is touched before each process.
    warm: bool,
    /// The last peak of each allocator in each row.
    peaks: BTreeMap<(String, &'static str), u64>,
    start: Instant,
}

impl Schedule<'_> {
    /// Whether a row is run in that round and profile.
    fn is_due(&self, row: &Row, round: usize, profile: Profile) -> bool {
        match row.workload.kind {
            Kind::Speed => self.options.is_speed_round(round, profile),
            Kind::Paced if row.workload.name == "phases" => self.options.is_slow_round(round),
            // What these measure hardly depends on inlining: pages and what becomes of them.
            Kind::Paced | Kind::Idle | Kind::Program => {
                self.options.is_slow_round(round) && self.options.is_first(profile)
            }
        }
    }

    /// Seconds the rounds from `first` to `end` will take, about.
    fn expected(&mut self, first: usize, end: usize) -> f64 {
        let mut sum = 0.0;
        for round in first..end {
            for profile in self.options.profiles() {
                for row in self.rows.clone() {
                    if self.is_due(&row, round, profile) {
                        let contenders = self.in_turn(profile, row.content(), 0).len() as f64;
                        sum += contenders * *self.pace.of(row.workload.kind);
                    }
                }
            }
        }
        sum
    }

    fn task<'b>(&'b self, round: usize, turn: usize, contender: &'b Contender, row: &Row) -> Task<'b> {
        Task {
            round,
            turn,
            allocator: contender.allocator,
            runner: &contender.runner,
            profile: contender.profile.name(),
            workload: row.workload,
            variant: row.variant,
            threads: row.threads,
            scale: self.options.scale(),
        }
    }

    /// The contenders of a profile, rotated.
    fn in_turn(&self, profile: Profile, content: Content, turn: usize) -> Vec<&Contender> {
        let fits = |contender: &&Contender| contender.profile == profile && contender.content == content;
        let mut list: Vec<_> = self.contenders.iter().filter(fits).collect();
        if !list.is_empty() {
            let by = turn % list.len();
            list.rotate_left(by);
        }
        list
    }

    fn round(&mut self, round: usize, writer: &mut Writer) -> Result<(), String> {
        let rounds = self.options.rounds();
        for profile in self.options.profiles() {
            let due: Vec<_> = self.rows.iter().copied().filter(|row| self.is_due(row, round, profile)).collect();
            let idles = |row: &Row| matches!(row.workload.kind, Kind::Idle | Kind::Program);
            let (idle, busy): (Vec<_>, Vec<_>) = due.into_iter().partition(idles);
            for (index, row) in busy.iter().enumerate() {
                let begun = Instant::now();
                let runs = self.turns(round, round + index, profile, row);
                let contenders = self.in_turn(profile, row.content(), 0).len();
                let seconds = begun.elapsed().as_secs_f64() / contenders.max(1) as f64;
                self.pace.learn(row.workload.kind, seconds);
                progress(round, rounds, profile, &row.label(), &runs);
                for run in runs {
                    writer.write(&Record::Run(run))?;
                }
            }
            if !idle.is_empty() {
                self.bursts(round, profile, &idle, writer)?;
            }
            let left = self.expected(round + 1, rounds) / 60.0;
            eprintln!(
                "round {}/{rounds} {} done after {:.1} min; the other rounds take about {left:.1} min",
                round + 1,
                profile.name(),
                self.start.elapsed().as_secs_f64() / 60.0,
            );
        }
        Ok(())
    }

    /// Runs a row's processes for one round: turn by turn, to and fro.
    fn turns(&mut self, round: usize, rotation: usize, profile: Profile, row: &Row) -> Vec<Run> {
        let turns = if row.workload.kind == Kind::Speed { self.options.scale().pick(TURNS, 1, 1) } else { 1 };
        let mut order = self.in_turn(profile, row.content(), rotation);
        let mut spent: BTreeMap<&str, f64> = BTreeMap::new();
        let mut peaks = self.peaks.clone();
        let mut runs = Vec::new();
        for turn in 0..turns {
            for contender in &order {
                let peak = peaks.entry((row.label(), contender.allocator.name)).or_insert(FIRST_PEAK);
                let spent = spent.entry(contender.allocator.name).or_default();
                if *spent >= ENOUGH.as_nanos() as f64 {
                    continue;
                }
                for attempt in 0..=AGAIN {
                    if self.warm {
                        warm::up(*peak);
                    }
                    let mut run = process::run(&self.task(round, turn, contender, row), |_| {});
                    // The last attempt counts in any case. So does an attempt that failed.
                    run.discarded &= attempt < AGAIN;
                    let again = run.discarded;
                    if let Some(needed) = run.figures.get("peak_rss_bytes") {
                        *peak = *needed;
                    }
                    if !again {
                        // A process that failed has no figure. Another failure in this round would tell nothing new.
                        *spent += run.figure("wall_ns").unwrap_or(f64::INFINITY);
                    }
                    runs.push(run);
                    if !again {
                        break;
                    }
                }
            }
            order.reverse();
        }
        self.peaks = peaks;
        runs
    }

    /// How long nobody else works after a process has begun to idle: while it gives memory back. None if it never idles alone.
    fn quiet(&self, task: &Task) -> Option<Duration> {
        let goes_on = task.variant == "busy";
        let quiet = self.options.scale().pick(Duration::from_millis(2_500), Duration::from_millis(300), Duration::ZERO);
        (!goes_on).then_some(quiet)
    }

    /// Runs the rows that idle, side by side where that does not blur what is measured.
    fn bursts(&mut self, round: usize, profile: Profile, rows: &[Row], writer: &mut Writer) -> Result<(), String> {
        let separate = Physical::prepare("probe").is_separate();
        let room = (sampling::available_bytes() / BURST_BYTES) as usize;
        let width = if separate { room.clamp(1, SIDE_BY_SIDE) } else { 1 };
        let tasks: Vec<_> = rows
            .iter()
            .enumerate()
            .flat_map(|(index, row)| {
                let contenders = self.in_turn(profile, row.content(), round + index);
                contenders.into_iter().map(|contender| self.task(round, 0, contender, row)).collect::<Vec<_>>()
            })
            .collect();
        let busy = Mutex::new(());
        let next = AtomicUsize::new(0);
        let finished = Mutex::new(Vec::new());
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..width {
                scope.spawn(|| {
                    while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut turn = Some(busy.lock().expect("no run panics"));
                        let quiet = self.quiet(task);
                        if self.warm && task.workload.kind == Kind::Program {
                            warm::up(PROGRAM_BYTES);
                        }
                        let mut run = process::run(task, |idle| {
                            if quiet.is_some_and(|quiet| idle >= quiet) {
                                turn = None;
                            }
                        });
                        // Memory counts here. Side by side the stolen time belongs to no one process.
                        run.discarded = false;
                        drop(turn);
                        let label = format!("{} {}", task.workload.name, task.variant);
                        progress(round, self.options.rounds(), profile, &label, std::slice::from_ref(&run));
                        finished.lock().expect("no run panics").push(run);
                    }
                });
            }
        });
        let seconds = begun.elapsed().as_secs_f64() / tasks.len().max(1) as f64;
        // Both kinds share the time, so each is taken to need the mean.
        for kind in [Kind::Idle, Kind::Program] {
            *self.pace.of(kind) = seconds;
        }
        for run in finished.into_inner().expect("no run panics") {
            writer.write(&Record::Run(run))?;
        }
        Ok(())
    }
}

/// One line about the processes of a row.
fn progress(round: usize, rounds: usize, profile: Profile, label: &str, runs: &[Run]) {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for run in runs {
        let text = match (&run.failure, run.figure("wall_ns")) {
            (None, Some(ns)) if run.discarded => format!("({:.0})", ns / 1e6),
            (None, Some(ns)) => format!("{:.0}", ns / 1e6),
            (failure, _) => failure.clone().unwrap_or_else(|| "no result".into()),
        };
        match parts.iter_mut().find(|part| part.0 == run.allocator) {
            Some(part) => part.1.extend([" ", text.as_str()]),
            None => parts.push((&run.allocator, text)),
        }
    }
    let parts: Vec<_> = parts.into_iter().map(|(name, text)| format!("{name} {text}")).collect();
    eprintln!("[{}/{rounds} {}] {label}: {} (ms)", round + 1, profile.name(), parts.join(", "));
}

/// Builds and runs all that the options ask for; every result goes to `raw`.
pub fn run(options: &Options, places: &Places, raw: &Path) -> Result<(), String> {
    let start = Instant::now();
    let rows = rows::rows(options, machine::cores())?;
    let mut writer = Writer::create(raw)?;
    let idle_seconds = options.scale().pick(12.0, 5.0, 0.05);
    writer.write(&Record::Header(machine::header(options, &places.root, idle_seconds)))?;
    let contenders = contenders::build_all(options, &rows, places, &mut writer)?;
    let pace = Pace::new(options);
    let mut schedule =
        Schedule { options, rows, contenders, pace, warm: warm::is_wanted(options), peaks: BTreeMap::new(), start };
    let rounds = options.rounds();
    let minutes = schedule.expected(0, rounds) / 60.0;
    eprintln!(
        "{} rows, {} runners, {rounds} rounds: about {minutes:.0} min",
        schedule.rows.len(),
        schedule.contenders.len()
    );
    for round in 0..rounds {
        let end = schedule.start.elapsed().as_secs_f64() + schedule.expected(round, round + 1);
        if round > 0 && end > 60.0 * f64::from(options.budget_minutes()) {
            let text = format!(
                "stopped after {round} of {rounds} rounds: another one would have ended after the budget of {} minutes",
                options.budget_minutes()
            );
            eprintln!("{text}");
            writer.write(&Record::Note { text })?;
            break;
        }
        schedule.round(round, &mut writer)?;
    }
    Ok(())
}
