//! The parent's view of one child: starts it, leads it through its steps, and samples its RSS from outside.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::burst::says;
use crate::options::{Allocator, Options};
use crate::{proc, switch};

const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// A child that says nothing for this long has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a child is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Filling,
    Freeing,
    Idle,
}

/// One reading of a child's RSS.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Seconds since the burst began.
    pub seconds: f64,
    pub rss_bytes: u64,
}

/// Everything measured of one child.
pub struct Run {
    pub allocator: Allocator,
    pub samples: Vec<Sample>,
    pub peak_bytes: u64,
    /// When the burst was over, in seconds since it began.
    pub freed_at: f64,
    pub objects: u64,
    pub survivors: u64,
    pub live_bytes: u64,
    pub optimum_bytes: u64,
    pub idle_cpu: Option<Duration>,
    /// How much less free memory the machine had at the end than before the burst.
    pub machine_bytes: Option<i64>,
}

impl Run {
    /// RSS at this many seconds after the end of the burst.
    pub fn bytes_after(&self, seconds: f64) -> Option<u64> {
        self.samples.iter().find(|sample| sample.seconds >= self.freed_at + seconds).map(|sample| sample.rss_bytes)
    }

    pub fn last_bytes(&self) -> u64 {
        self.samples.last().map_or(0, |sample| sample.rss_bytes)
    }

    /// RSS integrated over the idle time.
    pub fn gib_seconds(&self) -> f64 {
        let idle = self.samples.iter().filter(|sample| sample.seconds >= self.freed_at);
        let later = idle.clone().skip(1);
        let byte_seconds: f64 =
            idle.zip(later).map(|(a, b)| (a.rss_bytes + b.rss_bytes) as f64 / 2.0 * (b.seconds - a.seconds)).sum();
        byte_seconds / (1u64 << 30) as f64
    }
}

/// Runs one child from start to end; `watch` is called after each sample.
pub fn run(
    allocator: Allocator,
    options: &Options,
    mut watch: impl FnMut(&[Sample], Step),
) -> Result<Run, Box<dyn Error>> {
    let mut child = Reaped(
        Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(switch::VARIABLE.to_str()?, allocator.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let pid = child.0.id();
    let mut orders = child.0.stdin.take().ok_or("no pipe to the child")?;
    let lines = lines_of(child.0.stdout.take().ok_or("no pipe from the child")?);

    let [] = expect(&mut child, &lines, says::READY)?;
    let free_before = proc::free_bytes();
    let start = Instant::now();
    let mut samples = Vec::new();
    let mut sample = |step: Step| {
        if let Some(rss_bytes) = proc::rss_bytes(pid) {
            samples.push(Sample { seconds: start.elapsed().as_secs_f64(), rss_bytes });
            watch(&samples, step);
        }
    };

    sample(Step::Filling);
    writeln!(orders, "go")?;
    let [objects] = sample_until(&mut child, &lines, says::FULL, || sample(Step::Filling))?;
    let [survivors, live_bytes] = sample_until(&mut child, &lines, says::FREED, || sample(Step::Freeing))?;

    let freed_at = start.elapsed();
    let cpu_before = proc::cpu_time(pid);
    let end = freed_at + Duration::from_secs(options.seconds);
    loop {
        sample(Step::Idle);
        let now = start.elapsed();
        if now >= end {
            break;
        }
        thread::sleep(SAMPLE_EVERY.min(end - now));
    }
    let idle_cpu = proc::cpu_time(pid).zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let machine_bytes = free_before.zip(proc::free_bytes()).map(|(before, after)| before as i64 - after as i64);

    let peak_bytes = proc::peak_rss_bytes(pid).unwrap_or(0);

    writeln!(orders, "go")?;
    let [optimum_bytes] = expect(&mut child, &lines, says::OPTIMUM)?;
    let status = child.0.wait()?;
    if !status.success() {
        return Err(format!("the child under {} ended with {status}", allocator.name()).into());
    }
    Ok(Run {
        allocator,
        samples,
        peak_bytes,
        freed_at: freed_at.as_secs_f64(),
        objects,
        survivors,
        live_bytes,
        optimum_bytes,
        idle_cpu,
        machine_bytes,
    })
}

/// The child's output, readable with a time limit.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn expect<const N: usize>(
    child: &mut Reaped,
    lines: &Receiver<String>,
    word: &str,
) -> Result<[u64; N], Box<dyn Error>> {
    sample_until(child, lines, word, || ())
}

/// Waits for the child's line that starts with `word`, and takes samples meanwhile. Returns the numbers behind the word.
fn sample_until<const N: usize>(
    child: &mut Reaped,
    lines: &Receiver<String>,
    word: &str,
    mut sample: impl FnMut(),
) -> Result<[u64; N], Box<dyn Error>> {
    let start = Instant::now();
    loop {
        match lines.recv_timeout(SAMPLE_EVERY) {
            Ok(line) => {
                let mut parts = line.split(' ');
                let right_word = parts.next() == Some(word);
                let numbers: Option<Vec<u64>> = parts.map(|part| part.parse().ok()).collect();
                return match numbers.and_then(|numbers| <[u64; N]>::try_from(numbers).ok()) {
                    Some(numbers) if right_word => Ok(numbers),
                    _ => Err(format!("expected \"{word}\" from the child, got \"{line}\"").into()),
                };
            }
            Err(RecvTimeoutError::Timeout) if start.elapsed() > PATIENCE => {
                return Err(format!("the child did not get as far as \"{word}\" in {PATIENCE:?}").into());
            }
            Err(RecvTimeoutError::Timeout) => sample(),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(format!("the child ended before \"{word}\", with {}", child.0.wait()?).into());
            }
        }
    }
}

/// A child that never outlives the measurement.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail harmlessly when the child has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
