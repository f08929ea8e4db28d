//! What the tests of libneap share: its build, compilers, and programs that run on it.
//!
//! `LIBNEAP_DIR` names the directory of the `libneap.so` and `libneap.a` to test; without it they are built with the profile
//! `preload`. Needs a C and a C++ compiler (`CC`, `CXX`); a missing one fails the test.
#![allow(dead_code, reason = "each test file uses its part")]

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// How a program gets the library.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Link {
    Preload,
    Archive,
    Static,
}

/// The directory of the libraries, which are built first if need be.
pub fn library_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| match env::var_os("LIBNEAP_DIR") {
        Some(dir) => dir.into(),
        None => {
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
            cargo.args(["build", "--quiet", "--profile", "preload", "--package", "neap-preload", "--target-dir"]);
            check(cargo.arg(target).current_dir(env!("CARGO_MANIFEST_DIR")));
            target.join("preload")
        }
    })
}

pub fn library(name: &str) -> PathBuf {
    library_dir().join(name)
}

pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name)
}

pub fn out(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

pub fn check(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    output
}

pub fn compiler(variable: &str, default: &str) -> Command {
    Command::new(env::var_os(variable).unwrap_or_else(|| OsString::from(default)))
}

/// Compiles a program and returns its path.
pub fn build(name: &str, link: Link) -> PathBuf {
    let path = out(&format!("{}-{link:?}", name.replace('.', "-")));
    let mut command = if name.ends_with(".cpp") { compiler("CXX", "c++") } else { compiler("CC", "cc") };
    command.args(["-O1", "-g", "-fno-builtin", "-w", "-pthread"]).arg("-o").arg(&path).arg(source(name));
    if link != Link::Preload {
        command.arg(library("libneap.a"));
    }
    if link == Link::Static {
        command.arg("-static");
    } else {
        command.args(["-ldl", "-rdynamic"]);
    }
    check(&mut command);
    path
}

pub fn program(path: &Path, link: Link) -> Command {
    let mut command = Command::new(path);
    if link == Link::Preload {
        command.env("LD_PRELOAD", library("libneap.so"));
    }
    command
}

pub fn run_everywhere(name: &str, arguments: &[&str]) {
    for link in [Link::Preload, Link::Archive, Link::Static] {
        let path = build(name, link);
        let output = check(program(&path, link).args(arguments));
        assert!(output.stderr.is_empty(), "{name} {link:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
