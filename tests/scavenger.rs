//! The scavenger's thread as the rest of the system sees it: when it exists, what it is like, that it sleeps and ends, and that
//! no end of the process waits for it. The settings. Each case has a process of its own.

mod common;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Child, Ended, MIB, child};

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

/// Small blocks, all freed: work for a scavenger.
fn burst(bytes: usize) {
    let blocks: Vec<Box<[u8; 4000]>> = (0..bytes / 4096).map(|_| Box::new([1; 4000])).collect();
    drop(blocks);
}

fn thread_there() {
    common::wait_until("the scavenger's thread", || common::scavenger_thread().is_some());
}

#[test]
fn a_small_program_never_starts_the_thread() {
    child!().holds(|| {
        let mut words: Vec<String> = (0..1000).map(|i| format!("hello {i}")).collect();
        words.sort();
        println!("{}", words.join(" ").len());
        drop(words);
        // One megabyte comes and goes all the time.
        (0..100).for_each(|_| drop(vec![1u8; MIB]));
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(common::scavenger_thread(), None);
    });
}

#[test]
fn the_thread_has_its_name_and_takes_no_signal() {
    child!().holds(|| {
        burst(32 * MIB);
        thread_there();
        let path = common::scavenger_thread().unwrap();
        let blocked = u64::from_str_radix(&common::status_field(&path, "SigBlk"), 16).unwrap();
        let bit = |signal: i32| 1u64 << (signal - 1);
        // Nobody can block KILL and STOP. The thread does not block the signals that the C library keeps to itself.
        let excepted = bit(libc::SIGKILL) | bit(libc::SIGSTOP) | bit(32) | bit(33) | bit(34);
        assert_eq!(blocked | excepted, u64::MAX, "{blocked:#x}");
        // More frees start no second thread.
        (0..5).for_each(|_| burst(16 * MIB));
        let scavengers = common::threads().iter().filter(|(name, _)| name.starts_with("neap")).count();
        assert_eq!(scavengers, 1);
    });
}

#[test]
fn an_idle_process_has_no_thread_and_no_timer() {
    child!().holds(|| {
        for _ in 0..2 {
            burst(64 * MIB);
            thread_there();
            // Once it has nothing left to do it ends, and so nothing wakes the process any more.
            common::wait_until("the end of the scavenger's thread", || common::scavenger_thread().is_none());
            let stats = neap::stats();
            assert!(stats.retained_bytes < 2 * MIB as u64 && stats.released_bytes > 50 * MIB as u64, "{stats}");
            // Not gone for good: another burst, and all of this again.
        }
    });
}

#[test]
fn what_the_policy_has_learnt_outlives_the_thread() {
    child!().holds(|| {
        let cpu_after_a_burst = || {
            burst(64 * MIB);
            thread_there();
            common::wait_until("the end of the scavenger's thread", || common::scavenger_thread().is_none());
            neap::stats().scavenger_cpu_ns_total
        };
        let first = cpu_after_a_burst();
        assert!(cpu_after_a_burst() > first, "the count of its CPU time began again");
    });
}

/// `unshare(CLONE_NEWUSER)` refuses a process with threads. The test itself has several, so a fork's child does this.
#[test]
fn a_process_whose_memory_was_given_back_may_enter_a_user_namespace() {
    child!().holds(|| {
        // SAFETY: the child runs on its only thread, and leaves by _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            burst(64 * MIB);
            thread_there();
            common::wait_until("the end of the scavenger's thread", || common::threads().len() == 1);
            // SAFETY: no preconditions; the process is about to end.
            let entered = unsafe { libc::unshare(libc::CLONE_NEWUSER) } == 0;
            let refused = std::io::Error::last_os_error().raw_os_error();
            // Refused for another reason than threads: a system that allows nobody a namespace.
            let code = if entered || refused != Some(libc::EINVAL) { 0 } else { 1 };
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the status is written by the call.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
    });
}

#[test]
fn no_end_of_the_process_waits_for_it() {
    // The case returns to the test harness, which then ends the process.
    child!().case("return").holds(find_it_at_work);
    let code = |code: i32| move |ended: &Ended| assert_eq!(ended.code, Some(code), "{ended}");
    let signal = |signal: i32| move |ended: &Ended| ended.assert_killed_by(signal);
    let ends = |child: Child, end: fn(), look: &dyn Fn(&Ended)| {
        child.ends(
            || {
                find_it_at_work();
                end();
            },
            look,
        );
    };
    ends(child!().case("exit"), || std::process::exit(42), &code(42));
    // SAFETY: ends the process.
    ends(child!().case("_exit"), || unsafe { libc::_exit(43) }, &code(43));
    ends(child!().case("exec"), || panic!("{}", Command::new("/bin/sh").args(["-c", "exit 44"]).exec()), &code(44));
    ends(child!().case("abort"), || std::process::abort(), &signal(libc::SIGABRT));
    let killed = || {
        // SAFETY: ends the process by a signal that nobody blocks but the scavenger's thread.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGTERM);
            libc::pause();
        }
    };
    ends(child!().case("killed"), killed, &signal(libc::SIGTERM));
}

/// Waits until the scavenger releases memory.
fn find_it_at_work() {
    burst(64 * MIB);
    thread_there();
    // Memory is in flight, or some was released already.
    common::wait_until("the scavenger's work", || {
        let stats = neap::stats();
        stats.in_flight_bytes != 0 || stats.released_bytes_total != 0
    });
}

#[test]
fn switched_off_there_is_no_thread_and_the_work_is_done_inline() {
    child!().env("NEAP_SCAVENGER", "off").holds(|| {
        burst(128 * MIB);
        assert_eq!(common::threads().iter().filter(|(name, _)| name.starts_with("neap")).count(), 0);
        // The program goes on with small bursts. They are enough to give the large burst back.
        common::wait_until("the release of the burst", || {
            burst(6 * MIB);
            neap::stats().retained_bytes < 16 * MIB as u64
        });
        assert_eq!(common::scavenger_thread(), None);
        assert!(neap::stats().adds_up());
    });
}

/// Many threads meet in the inline scavenger. One thread scavenges, the others go on, and no thread makes tables anew.
#[test]
fn switched_off_the_work_is_done_by_many_threads_in_turn() {
    child!().env("NEAP_SCAVENGER", "off").holds(|| {
        let rounds = |rounds: usize| {
            let threads: Vec<_> =
                (0..4).map(|_| std::thread::spawn(move || (0..rounds).for_each(|_| burst(6 * MIB)))).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        };
        rounds(5);
        let before = neap::stats().metadata_bytes;
        rounds(20);
        let after = neap::stats();
        assert!(after.metadata_bytes <= before + 2 * MIB as u64, "{before} {after}");
        assert_eq!(common::scavenger_thread(), None);
    });
}

#[test]
fn a_wrong_setting_gives_one_clear_line() {
    for (name, value, named) in [
        ("NEAP_SCAVENGER", "perhaps", "NEAP_SCAVENGER=\"perhaps\""),
        ("NEAP_LIMIT", "12 parsecs", "NEAP_LIMIT=\"12 parsecs\""),
        ("NEAP_RETAIN_MAX", "-1", "NEAP_RETAIN_MAX=\"-1\""),
        ("NEAP_SCAVANGER", "off", "NEAP_SCAVENGER?"),
    ] {
        child!().case(named).env(name, value).ends(nothing, |ended| {
            ended.assert_held();
            assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
            assert!(ended.stderr.starts_with("neap: config: NEAP_") && ended.stderr.contains(named), "{ended}");
        });
    }
}

fn nothing() {}

#[test]
fn a_good_setting_and_a_foreign_one_give_no_line() {
    for (name, value) in [("NEAP_SCAVENGER", "on"), ("NEAP_LIMIT", ""), ("UNNEAP_LIMIT", "x")] {
        child!().case(name).env(name, value).ends(nothing, |ended| {
            ended.assert_held();
            assert_eq!(ended.stderr, "");
        });
    }
}

/// A busy process that would hold its peaks for two seconds keeps 4 MiB only.
#[test]
fn no_more_is_retained_than_is_set() {
    child!().env("NEAP_RETAIN_MAX", "4M").holds(|| {
        let mut least = u64::MAX;
        let begin = Instant::now();
        while least > 6 * MIB as u64 {
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", neap::stats());
            drop(vec![1u8; 48 * MIB]);
            let until = Instant::now() + Duration::from_millis(300);
            // The process stays busy, so the short hold of an idle process does not release.
            while Instant::now() < until {
                burst(MIB);
                least = least.min(neap::stats().retained_bytes);
            }
        }
    });
}

/// With live memory near the limit no free memory is kept.
#[test]
fn near_the_limit_nothing_is_retained() {
    child!().env("NEAP_LIMIT", "64M").holds(|| {
        let live = vec![1u8; 60 * MIB];
        burst(32 * MIB);
        common::wait_until("the release under pressure", || neap::stats().retained_bytes < 4 * MIB as u64);
        assert_eq!(live.iter().map(|byte| *byte as usize).sum::<usize>(), live.len());
    });
}

#[test]
fn at_the_hard_limit_allocations_fail() {
    child!().env("NEAP_HARD_LIMIT", "48M").holds(|| {
        for bytes in [MIB, 300_000, 20_000] {
            let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(48 * MIB / bytes);
            loop {
                let mut block = Vec::new();
                if block.try_reserve_exact(bytes).is_err() {
                    break;
                }
                blocks.push(block);
            }
            let stats = neap::stats();
            assert!(stats.mapped_bytes <= 48 * MIB as u64, "{stats}");
            assert!(blocks.len() * bytes > 36 * MIB, "only {} blocks of {bytes}\n{stats}", blocks.len());
            // Freed memory serves again.
            blocks.truncate(blocks.len() / 2);
            let mut block: Vec<u8> = Vec::new();
            assert!(block.try_reserve_exact(4 * MIB).is_ok(), "{}", neap::stats());
        }
    });
}
