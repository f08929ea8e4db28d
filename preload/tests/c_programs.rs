//! Compiles the programs in `tests/c` and runs them on libneap: preloaded, linked as an archive, and fully static.

mod common;

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use common::{Link, build, check, compiler, library, out, program, run_everywhere, source};

#[test]
fn rules_of_c_and_posix() {
    run_everywhere("rules.c", &[]);
}

#[test]
fn every_phase_of_a_program() {
    run_everywhere("phases.c", &[]);
}

#[test]
fn fork_among_threads() {
    run_everywhere("forks.c", &[]);
}

#[test]
fn fork_while_the_cache_is_drained() {
    run_everywhere("fork_drained.c", &[]);
}

/// Alone it must stay without a thread, which the scavenger is, since it also interrupts forks.
#[test]
fn fork_in_a_signal_handler() {
    for link in [Link::Preload, Link::Archive, Link::Static] {
        let path = build("signals.c", link);
        check(program(&path, link).env("NEAP_SCAVENGER", "off"));
        check(program(&path, link).arg("threads"));
    }
}

#[test]
fn fork_while_streams_are_flushed() {
    run_everywhere("streams.c", &[]);
}

#[test]
fn stacks_of_ended_threads() {
    run_everywhere("stacks.c", &[]);
}

#[test]
fn memory_goes_back_from_a_process_that_only_frees() {
    run_everywhere("gives_back.c", &[]);
}

#[test]
fn cxx_operators() {
    for link in [Link::Preload, Link::Archive] {
        let path = build("operators.cpp", link);
        check(&mut program(&path, link));
    }
}

#[test]
fn libraries_come_and_go() {
    let part = out("part.so");
    check(compiler("CC", "cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&part).arg(source("part.c")));
    for link in [Link::Preload, Link::Archive] {
        let path = build("libraries.c", link);
        check(program(&path, link).arg(&part));
    }
}

#[test]
fn misuse_ends_the_process_with_one_line() {
    let path = build("misuse.c", Link::Preload);
    for (what, expected) in [
        ("double-large", "free of 0x"),
        ("double-small", "double free of 0x"),
        ("stack", "free of 0x"),
        ("inside-large", "free of 0x"),
        ("wild", "free of 0xfffffffffffffff0"),
        ("foreign-size", "0x"),
    ] {
        let output = program(&path, Link::Preload).arg(what).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{what}: {}: {text}", output.status);
        assert!(text.starts_with("neap: ") && text.contains(expected), "{what}: {text}");
        assert_eq!(text.lines().count(), 1, "{what}: {text}");
    }
}

#[test]
fn the_environment_configures_the_program_from_the_start() {
    let path = build("rules.c", Link::Preload);
    let output = program(&path, Link::Preload).env("NEAP_SCAVENGER", "maybe").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("NEAP_SCAVENGER"), "{text}");
}

/// A set-user-ID program linked with the library, run by somebody else, takes no notice of the variables; an ordinary
/// copy of it does. Only root can make the first.
#[test]
fn a_program_with_raised_privileges_ignores_the_environment() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    // Any user but root, whom neither program belongs to.
    const SOMEBODY: u32 = 65534;
    for link in [Link::Archive, Link::Static] {
        let built = build("privileged.c", link);
        if built.metadata().unwrap().uid() != 0 {
            println!("skipped: this test is not run as root, who alone can make a program of another user set-user-ID");
            return;
        }
        // Where anybody may look; build directories often are not.
        let dir = env::temp_dir().join(format!("neap-privileged-{}-{link:?}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
        let run = |how: &str, mode: u32| {
            let path = dir.join(how);
            std::fs::copy(&built, &path).unwrap();
            chown(&path, Some(1), Some(1)).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let mut command = Command::new(&path);
            command.arg(how).uid(SOMEBODY).gid(SOMEBODY).current_dir("/").env("NEAP_SCAVENGER", "maybe");
            command.output().unwrap()
        };
        let (plain, raised) = (run("plain", 0o755), run("raised", 0o4755));
        std::fs::remove_dir_all(&dir).unwrap();
        let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(plain.status.success() && said(&plain).contains("NEAP_SCAVENGER"), "{link:?}: {}", said(&plain));
        if !raised.status.success() && said(&raised).contains("AT_SECURE") {
            println!("skipped: no set-user-ID programs on the file system of {}", env::temp_dir().display());
            return;
        }
        assert!(raised.status.success() && said(&raised).is_empty(), "{link:?}: {}", said(&raised));
    }
}

/// What the dynamic linker shows of the library: initial-exec thread-local storage, small enough for `dlopen`, and no
/// other library but the C library's.
#[test]
fn the_shared_library_is_plain() {
    let output = check(Command::new("readelf").args(["-dlW"]).arg(library("libneap.so")));
    let text = String::from_utf8_lossy(&output.stdout);
    if cfg!(target_arch = "x86_64") {
        assert!(text.contains("STATIC_TLS"), "{text}");
    }
    assert!(text.contains("NODELETE"), "{text}");
}
