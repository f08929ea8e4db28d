//! What the tests share: children of their own, what `/proc` says, and waiting with a deadline.
//!
//! A case that ends the process, limits it or measures it runs in a child. [`child!`] declares parent and child under one
//! name, the name of the test. The parent starts the test's binary again for this test alone. In the child the same test runs
//! the case. Deadlines only guard against hanging: no test asserts how long something took.
#![allow(dead_code, unused_macros, unused_imports, reason = "each test file uses its part")]

use std::alloc::Layout;
use std::ffi::OsString;
use std::fmt::{Display, Write as _};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const PAGE_BYTES: usize = 8192;
pub const MIB: usize = 1 << 20;

/// The variable that names a child's case. (Not `NEAP_`: the allocator complains about names it does not know.)
const CASE: &str = "TEST_CASE";
/// A child's last line when its case held.
const HELD: &str = "the case held";
/// The variable that holds an emulator's command line, in words, where the tests run in an emulator. The kernel starts a child
/// by its file, and cannot run the file of a foreign processor.
const EMULATOR: &str = "TEST_EMULATOR";
/// No child takes that long unless it hangs.
const HANG: Duration = Duration::from_secs(90);
/// An emulator is that much slower, where many processors' work shares few.
const EMULATED_HANG: Duration = Duration::from_secs(600);

/// A [`Child`] of the test that the macro stands in.
macro_rules! child {
    () => {
        $crate::common::Child::of(&|| ())
    };
}
pub(crate) use child;

/// A process of its own for a case of a test.
///
/// The child runs the same test, comes to the same `Child`, and does the case there. A test with several cases tells them
/// apart by [`Child::case`]: its child passes over all cases but its own.
pub struct Child {
    test: &'static str,
    case: String,
    command: Command,
    address_space: Option<u64>,
}

impl Child {
    /// `within` is a closure in the test's function: the name of its type holds the name of the test.
    pub fn of<T>(_within: &T) -> Self {
        let path = std::any::type_name::<T>().trim_end_matches("::{{closure}}");
        let (_, test) = path.split_once("::").unwrap();
        let mut command = own_program();
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        // A child has the settings that its case gives it, and no others.
        let is_setting = |name: &OsString| name.as_encoded_bytes().starts_with(b"NEAP_") || name == "RUST_BACKTRACE";
        for name in std::env::vars_os().map(|(name, _)| name).filter(is_setting) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { test, case: test.to_owned(), command, address_space: None }
    }

    /// Tells this case from the other cases of the test.
    pub fn case(mut self, case: impl Display) -> Self {
        write!(self.case, " / {case}").unwrap();
        self
    }

    /// Sets a variable in the child's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Limits the child's address space from its first instruction on. The C library's own malloc has one arena, because an
    /// arena of 64 MiB for each thread would come and go with the threads.
    pub fn address_space(mut self, bytes: u64) -> Self {
        self.command.env("MALLOC_ARENA_MAX", "1");
        self.address_space = Some(bytes);
        self
    }

    /// Does `case` in the child. The parent sees the case run to its end and hold.
    #[track_caller]
    pub fn holds(self, case: impl FnOnce()) {
        self.ends(case, |ended| ended.assert_held());
    }

    /// Does `case` in the child. The parent looks at what became of the child.
    #[track_caller]
    pub fn ends(mut self, case: impl FnOnce(), look: impl FnOnce(&Ended)) {
        match std::env::var(CASE) {
            Ok(own) => {
                assert!(own.starts_with(self.test), "a child of {own} runs {}", self.test);
                if own == self.case {
                    case();
                    println!("{HELD}");
                }
            }
            Err(_) => {
                limit(&mut self.command, self.address_space);
                self.command.env(CASE, &self.case);
                look(&end_of(self.case, self.command));
            }
        }
    }
}

/// What became of a child.
pub struct Ended {
    case: String,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The child's case ran to its end and held.
    #[track_caller]
    pub fn assert_held(&self) {
        assert!(self.code == Some(0) && self.stdout.contains(HELD), "{self}");
    }

    /// A signal ended the child.
    #[track_caller]
    pub fn assert_killed_by(&self, signal: i32) {
        assert_eq!(self.signal, Some(signal), "{self}");
    }

    /// The child died of misuse: SIGABRT, and one line on the standard error stream, which begins with `line`.
    #[track_caller]
    pub fn assert_died_with(&self, line: &str) {
        self.assert_killed_by(libc::SIGABRT);
        assert!(self.stderr.starts_with(line), "{self}");
        assert_eq!((self.stderr.lines().count(), self.stderr.ends_with('\n')), (1, true), "{self}");
    }
}

impl Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { case, code, signal, stdout, stderr } = self;
        write!(f, "{case}: code {code:?}, signal {signal:?}\n{stdout}\n{stderr}")
    }
}

/// Starts the test's binary again: in the emulator that the parent runs in, if there is one.
fn own_program() -> Command {
    let program = std::env::current_exe().unwrap();
    let Some(emulator) = emulator() else { return Command::new(program) };
    let mut words = emulator.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(program);
    command
}

/// The command line of the emulator that the tests run in.
fn emulator() -> Option<String> {
    std::env::var(EMULATOR).ok().filter(|line| !line.trim().is_empty())
}

/// Limits a process that will start: its address space, if the limit is given. It leaves no core file if it crashes.
fn limit(command: &mut Command, address_space: Option<u64>) {
    let sets = |bytes| libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: setrlimit is safe to call between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let is_set = libc::setrlimit(libc::RLIMIT_CORE, &sets(0)) == 0
                && address_space.is_none_or(|bytes| libc::setrlimit(libc::RLIMIT_AS, &sets(bytes)) == 0);
            is_set.then_some(()).ok_or_else(std::io::Error::last_os_error)
        })
    };
}

/// Runs a child to its end.
#[track_caller]
fn end_of(case: String, mut command: Command) -> Ended {
    let mut process = command.spawn().unwrap();
    let (stdout, stderr) = (reader(process.stdout.take()), reader(process.stderr.take()));
    let hang = if emulator().is_some() { EMULATED_HANG } else { HANG };
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > hang {
            let _ = process.kill();
            let _ = process.wait();
            panic!("{case} hangs: {}\n{}", stdout.join().unwrap(), stderr.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, mut stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    if emulator().is_some() {
        // The emulator has a line of its own for a process that a signal ends.
        stderr =
            stderr.split_inclusive('\n').filter(|line| !line.starts_with("qemu: uncaught target signal")).collect();
    }
    Ended { case, code: status.code(), signal: status.signal(), stdout, stderr }
}

fn reader(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.unwrap().read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A layout of `bytes` with the alignment of a word.
pub fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).unwrap()
}

/// The books add up as soon as the scavenger's thread is not between two locks.
#[track_caller]
pub fn wait_for_the_books() {
    wait_until("the books to add up", || neap::stats().adds_up());
}

/// Does `work` while two threads scavenge without a pause. When this returns the threads and their caches are gone.
pub fn beside_scavenging_threads<T>(work: impl FnOnce() -> T) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    let threads = [(); 2].map(|()| {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                neap::scavenge();
            }
        })
    });
    let result = work();
    stop.store(true, Ordering::Relaxed);
    // A scope would return before the end of the threads' caches.
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    result
}

/// Waits until `done`. `what` names what did not happen if this takes for ever.
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

/// Bytes of the OS pages in `base..base + bytes` that are in memory. Allocates nothing, because an allocation could take those
/// pages.
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
