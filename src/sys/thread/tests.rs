//! Tests of threads: what they inherit, their names, their exit.

use super::*;
use crate::sys::fault::fail_nth;
use std::sync::mpsc;
use std::time::Duration;

/// A new thread's name and its blocked signals, as the kernel shows them.
type Report = (String, u64);

struct Reporter;

impl Body for Reporter {
    const NAME: &'static CStr = c"neap-reporter";

    unsafe fn run(argument: *mut c_void) {
        // SAFETY: the test passes a boxed sender and never uses it again.
        let report = unsafe { Box::from_raw(argument.cast::<mpsc::Sender<Report>>()) };
        let comm = std::fs::read_to_string(format!("/proc/self/task/{}/comm", gettid())).unwrap();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        report.send((comm.trim_end().to_owned(), blocked(&status))).unwrap();
    }
}

fn blocked(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

fn own_blocked() -> u64 {
    blocked(&std::fs::read_to_string("/proc/thread-self/status").unwrap())
}

#[test]
fn our_threads_have_a_name_and_take_no_signals() {
    let before = own_blocked();
    let (sender, receiver) = mpsc::channel::<Report>();
    let argument = Box::into_raw(Box::new(sender)).cast();
    // SAFETY: the argument is what `Reporter` expects.
    assert!(unsafe { spawn_detached::<Reporter>(argument, 0) });
    let (name, blocked) = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(name, "neap-reporter");
    for signal in 1..32 {
        let expected = signal != libc::SIGKILL && signal != libc::SIGSTOP;
        assert_eq!(blocked >> (signal - 1) & 1 == 1, expected, "signal {signal}");
    }
    assert_eq!(own_blocked(), before);
}

#[test]
fn a_thread_that_cannot_start_is_reported() {
    fail_nth(Op::Spawn, 0);
    // SAFETY: nothing is started.
    assert!(!unsafe { spawn_detached::<Reporter>(ptr::null_mut(), 0) });
}

#[test]
fn exit_keys_run_at_thread_exit() {
    unsafe extern "C" fn report(value: *mut c_void) {
        // SAFETY: the test sets a boxed sender and never uses it again.
        unsafe { Box::from_raw(value.cast::<mpsc::Sender<()>>()) }.send(()).unwrap();
    }
    let key = exit_key_create(report).unwrap();
    let (sender, receiver) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        // SAFETY: the value is what `report` expects.
        assert!(unsafe { exit_key_set(key, Box::into_raw(Box::new(sender)).cast()) });
    });
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn times_and_counts_make_sense() {
    let start = thread_cpu_time_ns();
    let mut sum = 0_u64;
    while thread_cpu_time_ns() == start {
        sum = core::hint::black_box(sum + 1);
    }
    assert!(process_cpu_time_ns() >= thread_cpu_time_ns() - start);
    // std's number also counts CPU quotas.
    assert!(cpus_available() >= std::thread::available_parallelism().unwrap().get());
    assert!(gettid() > 0);
}

#[test]
fn the_last_thread_beside_a_zombie_is_known_by_the_kernels_line() {
    let line = |state: &str, threads: u32| {
        format!("42 (a) Z (b) {state} 1 42 42 0 -1 4194560 1 0 0 0 9 8 7 6 20 0 {threads} 0 5\n")
    };
    assert!(is_left_by_all_but_one(line("Z", 2).as_bytes()));
    for (state, threads) in [("Z", 1), ("Z", 3), ("Z", 22), ("S", 2), ("R", 2)] {
        assert!(!is_left_by_all_but_one(line(state, threads).as_bytes()), "{state} {threads}");
    }
    assert!(!is_left_by_all_but_one(b"") && !is_left_by_all_but_one(b"42 (a) Z 1"));
    assert!(!is_last());
}
