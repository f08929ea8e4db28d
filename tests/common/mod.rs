//! What the tests share: children of their own, what `/proc` says, and waiting with a deadline.
//!
//! A case that ends the process, limits it or measures it runs in a child: the test binary starts itself again with the
//! case's name in [`CASE`], and its test `child` does that case alone. Deadlines only guard against hanging; no test
//! asserts how long something took.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const PAGE_BYTES: usize = 8192;
pub const MIB: usize = 1 << 20;

/// The variable that names a child's case. (Not `NEAP_`: the allocator complains about names it does not know.)
const CASE: &str = "TEST_CASE";
/// No child takes that long unless it hangs.
const HANG: Duration = Duration::from_secs(90);

/// In a child: its case.
pub fn case() -> Option<String> {
    std::env::var(CASE).ok()
}

/// What became of a child.
pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The child's case ran to its end and held.
    #[track_caller]
    pub fn assert_ok(&self) -> &Self {
        assert_eq!(self.code, Some(0), "signal {:?}\n{}\n{}", self.signal, self.stdout, self.stderr);
        assert!(self.stdout.contains("1 passed"), "the case did not run: {}", self.stdout);
        self
    }
}

/// A child that will do `case`.
pub fn child(case: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    for name in ["NEAP_SCAVENGER", "NEAP_LIMIT", "NEAP_HARD_LIMIT", "NEAP_RETAIN_MAX", "NEAP_THP", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.env(CASE, case).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A child whose address space is limited from its first instruction on.
pub fn limited_child(case: &str, address_space_bytes: u64) -> Command {
    let mut command = child(case);
    // SAFETY: setrlimit is safe to call between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let limit = libc::rlimit { rlim_cur: address_space_bytes, rlim_max: address_space_bytes };
            match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        })
    };
    command
}

/// Runs a child to its end.
pub fn end_of(mut command: Command) -> Ended {
    let mut process = command.spawn().unwrap();
    let (stdout, stderr) = (reader(process.stdout.take()), reader(process.stderr.take()));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > HANG {
            let _ = process.kill();
            let _ = process.wait();
            panic!("the child hangs: {}\n{}", stdout.join().unwrap(), stderr.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ended {
        code: status.code(),
        signal: status.signal(),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn reader(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.unwrap().read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a case in a child to its end.
pub fn run(case: &str) -> Ended {
    end_of(child(case))
}

/// Waits until `done`; `what` is what did not happen if it takes for ever.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited in vain: {what}\n{}", neap::stats());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes of this process in memory, from the page tables, not from the kernel's lazily summed counters.
pub fn rss_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// The names of this process's threads, with their directories.
pub fn threads() -> Vec<(String, std::path::PathBuf)> {
    let entries = std::fs::read_dir("/proc/self/task").unwrap();
    entries
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            Some((name.trim_end().to_owned(), path))
        })
        .collect()
}

/// The scavenger's thread, if it runs.
pub fn scavenger_thread() -> Option<std::path::PathBuf> {
    threads().into_iter().find(|(name, _)| name == "neap-scavenger").map(|(_, path)| path)
}

/// A number from a file like `/proc/self/status`.
pub fn status_field(path: &std::path::Path, name: &str) -> String {
    let text = std::fs::read_to_string(path.join("status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].trim_start_matches(':').trim().to_owned()
}

/// Bytes of the OS pages in `base..base + bytes` that are in memory. Allocates nothing: that could take what is looked at.
pub fn resident_bytes(base: usize, bytes: usize) -> usize {
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let mut map = [0u8; 512];
    let step = map.len() * page;
    let end = (base + bytes).next_multiple_of(page);
    let mut resident = 0;
    for first in (base / page * page..end).step_by(step) {
        let bytes = step.min(end - first);
        // SAFETY: the map has a byte for each page of the range.
        assert_eq!(unsafe { libc::mincore(first as *mut libc::c_void, bytes, map.as_mut_ptr()) }, 0);
        resident += map[..bytes / page].iter().filter(|byte| **byte & 1 != 0).count() * page;
    }
    resident
}

/// xorshift64*: deterministic for a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
