//! `ulimit -v` and `ulimit -d`: what runs under a limit runs on libneap under a little more, with all its threads.
//!
//! The limits are those where a share of what is left, and a table of the heap, come and go. With `LIMITS=all` in the
//! environment every megabyte from 3 MB to 6 GB is tried.

mod common;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{Link, build, check, library};

/// What the heap may take for itself: its tables, its first chunks, the library's own mapping.
const ALLOWANCE_MB: usize = 24;
/// Threads that the program wants.
const THREADS: usize = 4;

/// How many of its threads the program could start under a limit, with a library in front.
fn threads_started(kind: &str, limit_mb: usize, wanted: usize, preload: &str) -> Result<usize, String> {
    // The shell itself runs without the library: it has the limit already.
    let line = format!("ulimit -{kind} {}; LD_PRELOAD=\"$1\" exec \"$0\" {wanted}", limit_mb * 1024);
    let output = Command::new("sh").arg("-c").arg(line).arg(program()).arg(preload).output().unwrap();
    match String::from_utf8_lossy(&output.stdout).trim().parse() {
        Ok(started) if output.status.success() => Ok(started),
        _ => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

fn program() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("limited.c", Link::Preload))
}

/// The limits to try, in MB.
fn limits() -> Vec<usize> {
    if env::var_os("LIMITS").is_some_and(|which| which == "all") {
        return (3..6144).collect();
    }
    let mut limits: Vec<usize> = (3..64).collect();
    // Where a part of what is left passes a power of two, a full step, or a table.
    for border in [72, 96, 136, 200, 264, 520, 1032, 1112, 2056, 4104] {
        limits.extend(border - 4..border + 4);
    }
    limits.push(6144);
    limits
}

fn runs_under_a_limit(kind: &str) {
    let libneap = library("libneap.so");
    let mut tried = 0;
    let mut failed = Vec::new();
    for limit in limits() {
        let Ok(started) = threads_started(kind, limit, THREADS, "") else { continue };
        tried += 1;
        let with_neap = threads_started(kind, limit + ALLOWANCE_MB, started, libneap.to_str().unwrap());
        if with_neap != Ok(started) {
            failed.push(format!("{limit} MB: {started} threads, {with_neap:?} on libneap with {ALLOWANCE_MB} MB more"));
        }
    }
    assert!(tried > 100, "only {tried} limits let the program run");
    assert!(failed.is_empty(), "{} of {tried}:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn what_runs_under_a_limit_on_address_space_runs_with_little_more() {
    runs_under_a_limit("v");
}

#[test]
fn what_runs_under_a_limit_on_data_runs_with_little_more() {
    runs_under_a_limit("d");
}

#[test]
fn little_address_space_is_no_crash() {
    let path = build("limits.c", Link::Preload);
    for kib in [100_000, 200_000, 400_000] {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -v {kib}; exec \"$0\"")).arg(&path);
        check(shell.env("LD_PRELOAD", library("libneap.so")));
    }
}
