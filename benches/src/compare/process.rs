//! Running one runner process, with a time limit, and sampling its memory where the workload asks for it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use neap_workloads::scale::Scale;
use neap_workloads::workload::{END_MARKER, FREED_MARKER, Kind, MARKER, Workload};

use super::allocators::{Allocator, is_tuning};
use super::build::Runner;
use super::record::Run;
use super::sampling::{Physical, Resident};
use super::steal::Ticks;

/// Time between two samples of memory.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// A process that takes longer is stopped and reported. The slowest take seconds.
const LIMIT: Duration = Duration::from_secs(90);

/// One process to run.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The round, from zero.
    pub round: usize,
    /// The turn in it, from zero.
    pub turn: usize,
    /// The allocator.
    pub allocator: &'a Allocator,
    /// Its runner.
    pub runner: &'a Runner,
    /// The profile's name.
    pub profile: &'a str,
    /// The workload.
    pub workload: &'static Workload,
    /// Its variant.
    pub variant: &'static str,
    /// Worker threads.
    pub threads: usize,
    /// Amount of work.
    pub scale: Scale,
}

/// Runs the task. `watching` is called with each sample and gets the time for which the process has only been idle or
/// waiting for its own schedule. The run comes back as discarded if the machine's host took its processors away.
pub fn run(task: &Task, mut watching: impl FnMut(Duration)) -> Run {
    let mut run = Run {
        round: task.round,
        turn: task.turn,
        allocator: task.allocator.name.into(),
        profile: task.profile.into(),
        workload: task.workload.name.into(),
        variant: task.variant.into(),
        threads: task.threads,
        ..Run::default()
    };
    let before = Ticks::now();
    if let Err(line) = try_run(task, &mut run, &mut watching) {
        run.failure = Some(line);
    }
    let after = Ticks::now();
    run.stolen = after.part_since(&before);
    run.discarded = run.failure.is_none() && after.robbed_since(&before);
    run
}

fn try_run(task: &Task, run: &mut Run, watching: &mut dyn FnMut(Duration)) -> Result<(), String> {
    let physical = (task.workload.kind != Kind::Speed)
        .then(|| Physical::prepare(&format!("{}-{}-{}", task.allocator.name, task.workload.name, task.variant)));
    let mut command = command(task);
    if let Some(directory) = physical.as_ref().and_then(Physical::directory) {
        command.arg("--cgroup").arg(directory);
    }
    let mut child = command.spawn().map_err(|error| format!("cannot start {}: {error}", task.runner.path.display()))?;
    let lines = lines_of(&mut child);
    let errors = text_of(&mut child);
    let start = Instant::now();
    let mut marked: Option<Instant> = None;
    let mut last = None;
    let resident = Resident::of(child.id());
    loop {
        let patience = if marked.is_some() { SAMPLE_EVERY } else { LIMIT.saturating_sub(start.elapsed()) };
        match lines.recv_timeout(patience) {
            Ok(line) if line == MARKER => marked = Some(Instant::now()),
            Ok(line) if line == FREED_MARKER => run.freed = marked.map(|since| since.elapsed().as_secs_f64()),
            Ok(line) if line == END_MARKER => marked = None,
            Ok(line) => last = Some(line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let (Some(since), Some(resident), Some(physical)) = (marked, &resident, &physical)
            && let (Some(rss), Some(taken)) = (resident.bytes(), physical.bytes())
        {
            run.samples.push((since.elapsed().as_secs_f64(), rss, taken));
            run.physical = physical.method().into();
            // A program works after the marker; what follows its work is what others may disturb.
            let works_until = if task.workload.kind == Kind::Program { run.freed } else { Some(0.0) };
            if let Some(until) = works_until {
                watching(since.elapsed().saturating_sub(Duration::from_secs_f64(until)));
            }
        }
        if start.elapsed() >= LIMIT {
            // The process is ours and still there: nobody has waited for it.
            child.kill().and_then(|()| child.wait()).map_err(|error| format!("cannot stop it: {error}"))?;
            return Err(format!("stopped after {} s", LIMIT.as_secs()));
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for it: {error}"))?;
    let text = errors.join().unwrap_or_default();
    if !status.success() {
        return Err(end(status, &text));
    }
    let line = last.ok_or("it printed no result")?;
    run.figures = serde_json::from_str::<BTreeMap<String, u64>>(&line)
        .map_err(|error| format!("its result cannot be read: {error}"))?;
    Ok(())
}

fn command(task: &Task) -> Command {
    let mut command = Command::new(&task.runner.path);
    command
        .args(["--workload", task.workload.name, "--variant", task.variant])
        .args(["--threads", &task.threads.to_string(), "--scale", task.scale.name()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_tuning) {
            command.env_remove(name);
        }
    }
    if let Some(library) = &task.runner.preload {
        command.env("LD_PRELOAD", library);
    }
    command.envs(task.allocator.environment.iter().copied());
    command
}

/// The child's lines of standard output, as they come; the channel closes with its output.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// All the child writes to standard error.
fn text_of(child: &mut Child) -> std::thread::JoinHandle<String> {
    let errors = child.stderr.take();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut errors) = errors {
            // A part of the text is better than none.
            let _ = errors.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// How a failed process ended, in one line.
fn end(status: ExitStatus, errors: &str) -> String {
    let how = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("crashed with signal {signal}"),
        (None, Some(code)) => format!("exited with {code}"),
        (None, None) => "ended".into(),
    };
    match errors.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("{how}: {}", line.trim()),
        None => how,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell script in a runner's place.
    fn run_script(name: &str, workload: &str, script: &str, watching: impl FnMut(Duration)) -> Run {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("neap-compare-test-{}-{name}", std::process::id()));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let task = Task {
            round: 0,
            turn: 0,
            allocator: &crate::compare::allocators::ALL[1],
            runner: &Runner { path: path.clone(), preload: None },
            profile: "default",
            workload: neap_workloads::workloads::find(workload).unwrap(),
            variant: "",
            threads: 2,
            scale: Scale::Tiny,
        };
        let run = run(&task, watching);
        std::fs::remove_file(path).unwrap();
        run
    }

    #[test]
    fn a_process_that_crashes_or_talks_nonsense_is_a_row() {
        let crashed = run_script("crash", "phases", "echo neap: heap: lost >&2; kill -SEGV $$", |_| {});
        assert_eq!(crashed.failure.unwrap(), "crashed with signal 11: neap: heap: lost");
        let silent = run_script("silent", "phases", "exit 0", |_| {});
        assert_eq!(silent.failure.unwrap(), "it printed no result");
        let nonsense = run_script("nonsense", "phases", "echo so fast", |_| {});
        assert!(nonsense.failure.unwrap().starts_with("its result cannot be read"));
    }

    #[test]
    fn memory_is_sampled_between_the_markers() {
        let run =
            run_script("good", "phases", "echo watch; sleep 0.4; echo enough; sleep 0.4; echo '{\"ops\":1}'", |_| {});
        assert_eq!(run.failure, None);
        assert_eq!(run.figures["ops"], 1);
        assert!((3..=9).contains(&run.samples.len()), "{}", run.samples.len());
        assert!(run.samples.iter().all(|sample| sample.0 < 0.6 && sample.1 > 0));
    }

    #[test]
    fn a_program_is_idle_once_it_has_freed_all() {
        let mut idle = Vec::new();
        let script = "echo watch; sleep 0.4; echo freed; sleep 0.3; echo enough; echo '{\"ops\":1}'";
        let run = run_script("program", "json", script, |time| idle.push(time));
        let freed = run.freed.expect("it said so");
        assert!((0.3..2.0).contains(&freed), "{freed}");
        assert!(!idle.is_empty() && idle.len() < run.samples.len(), "{} of {}", idle.len(), run.samples.len());
        assert!(idle.is_sorted() && idle[0] < Duration::from_millis(300));
    }

    #[test]
    fn ends_are_told_in_one_line() {
        assert_eq!(end(ExitStatus::from_raw(11), ""), "crashed with signal 11");
        assert_eq!(end(ExitStatus::from_raw(6), "a\nneap: heap: lost\n\n"), "crashed with signal 6: neap: heap: lost");
        assert_eq!(end(ExitStatus::from_raw(0x200), "x"), "exited with 2: x");
    }
}
