//! libneap fits into the process: its thread keeps nothing alive and forbids nothing, and no property of the process's own
//! threads, of its handlers or of its libraries gets in its way.

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Link, build, check, compiler, library, out, program, source};

/// No program here takes so long unless it hangs.
const HANG: Duration = Duration::from_secs(90);

/// Runs a program that may hang, and not even take a signal, to its end. Returns what it wrote.
#[track_caller]
fn ends(command: &mut Command) -> String {
    let path = std::env::temp_dir().join(format!("neap-fits-{}-{:?}", std::process::id(), std::thread::current().id()));
    let output = std::fs::File::create(&path).unwrap();
    let mut child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begin.elapsed() > HANG {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{command:?}: {status:?}\n{text}");
    text
}

#[test]
fn the_process_ends_with_the_last_thread_of_the_program() {
    for link in [Link::Preload, Link::Archive, Link::Static] {
        let path = build("last_thread.c", link);
        for what in ["freed", "live", "quick"] {
            // What runs at exit has run, on a stack of the usual size.
            assert_eq!(ends(program(&path, link).arg(what)), "ended\n", "{link:?} {what}");
        }
    }
}

#[test]
fn a_process_whose_memory_was_given_back_is_single_threaded_again() {
    for link in [Link::Preload, Link::Static] {
        ends(&mut program(&build("unshare.c", link), link));
    }
}

/// glibc takes static thread-local storage out of each thread's stack.
#[test]
fn any_amount_of_thread_local_storage_leaves_room_on_the_stack() {
    for kib in [8, 64, 96, 104, 112, 120, 128, 160, 192, 224, 256, 1 << 10, 9 << 10] {
        let path = out(&format!("much-tls-{kib}"));
        let mut command = compiler("CC", "cc");
        command.args(["-O1", "-g", "-fno-builtin", "-w", "-pthread"]).arg(format!("-DTLS_BYTES={}", kib << 10));
        check(command.arg("-o").arg(&path).arg(source("much_tls.c")));
        ends(Command::new(&path).env("LD_PRELOAD", library("libneap.so")));
    }
}

/// Policy, niceness and processors of the thread that happens to start it are not inherited.
#[test]
fn the_scavenger_is_scheduled_as_the_process_began() {
    for link in [Link::Preload, Link::Static] {
        ends(&mut program(&build("scheduling.c", link), link));
    }
}

/// Handlers that other libraries registered before anything was allocated.
#[test]
fn other_libraries_fork_handlers_may_take_locks_and_allocate() {
    for link in [Link::Preload, Link::Archive, Link::Static] {
        ends(&mut program(&build("fork_locked.c", link), link));
        ends(&mut program(&build("fork_child_first.c", link), link));
    }
}

/// The constructor of a library that the program needs comes before those of the program, and after a preloaded library's.
#[test]
fn a_librarys_fork_handlers_may_take_locks_under_which_it_allocates() {
    let handlers = out("libhandlers.so");
    let mut command = compiler("CC", "cc");
    command.args(["-O1", "-g", "-fno-builtin", "-w", "-pthread", "-shared", "-fPIC", "-Dmain=library_main", "-o"]);
    check(command.arg(&handlers).arg(source("fork_locked.c")));
    let path = out("fork-locked-in-a-library");
    check(compiler("CC", "cc").arg("-o").arg(&path).arg(source("calls.c")).arg(&handlers));
    ends(Command::new(&path).env("LD_PRELOAD", library("libneap.so")));
}
