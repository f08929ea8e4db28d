//! Programs that are built as a user builds them: a package of their own that depends on this one.
//!
//! - Two versions of neap are parts of one program. Each has its own heap, and the one that is not asked says so.
//! - Under a tool that replaces the system's allocator, the same program runs on the system's allocator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// A folder of its own for a test, empty.
fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("built").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if from.is_dir() { copy_folder(&from, &to) } else { fs::copy(from, to).map(drop).unwrap() }
    }
}

/// This package's source with another version.
fn other_version(folder: &Path, version: &str) {
    copy_folder(&Path::new(PACKAGE).join("src"), &folder.join("src"));
    fs::copy(Path::new(PACKAGE).join("build.rs"), folder.join("build.rs")).unwrap();
    let manifest = fs::read_to_string(Path::new(PACKAGE).join("Cargo.toml")).unwrap();
    let own = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    let manifest = manifest.replacen(&own, &format!("version = \"{version}\""), 1);
    // The other members and the tests stay behind.
    let manifest = manifest.lines().map(|line| if line.starts_with("members = ") { "members = [\".\"]" } else { line });
    let manifest: Vec<&str> = manifest.take_while(|line| !line.starts_with("[[test]]")).collect();
    fs::write(folder.join("Cargo.toml"), manifest.join("\n")).unwrap();
}

/// Builds a program of one file and answers what it prints.
fn run(folder: &Path, dependencies: &str, main: &str, rustflags: &str) -> String {
    let package =
        "[package]\nname = \"program\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n";
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), format!("{package}{dependencies}\n")).unwrap();
    fs::write(folder.join("src/main.rs"), main).unwrap();
    // The same dependencies as here: nothing is asked of a registry.
    fs::copy(Path::new(PACKAGE).join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--offline", "--quiet", "--target-dir"])
        .arg(folder.join("target"))
        .current_dir(folder)
        .env("RUSTFLAGS", rustflags)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn two_versions_are_parts_of_one_program() {
    let folder = fresh_folder("versions");
    other_version(&folder.join("next"), "0.2.0");
    let dependencies = format!(
        "neap = {{ path = \"{PACKAGE}\" }}\nnext = {{ package = \"neap\", path = \"../next\", version = \"0.2.0\" }}"
    );
    let main = r#"
        use std::alloc::{GlobalAlloc, Layout};

        #[global_allocator]
        static GLOBAL: neap::Neap = neap::Neap::new();
        static NEXT: next::Neap = next::Neap::new();

        fn main() {
            let words: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
            println!("before: {} {} {}", neap::stats().active, next::stats().active, next::scavenge());
            println!("says: {}", next::stats());
            let layout = Layout::new::<[u64; 8]>();
            let own = std::thread::spawn(move || {
                let object = unsafe { NEXT.alloc(layout) };
                unsafe { object.write_bytes(7, layout.size()) };
                object as usize
            });
            let object = own.join().unwrap() as *mut u8;
            let (in_use, next_in_use) = (neap::stats().in_use_bytes, next::stats().in_use_bytes);
            println!("after: {} {}", next::stats().active, in_use > 0 && next_in_use > 0);
            println!("kept: {}", unsafe { object.read() });
            unsafe { NEXT.dealloc(object, layout) };
            neap::scavenge();
            next::scavenge();
            println!("last: {}", words.last().unwrap());
        }
    "#;
    let lines = run(&folder.join("program"), &dependencies, main, "");
    let expected = "before: true false 0\n\
        says: this copy of neap is not the program's allocator: it has served no allocation\n\n\
        after: true true\nkept: 7\nlast: 999\n";
    assert_eq!(lines, expected);
}

#[test]
fn under_a_fuzzer_the_program_runs_on_the_systems_allocator() {
    let folder = fresh_folder("fuzzed");
    let main = r#"
        #[global_allocator]
        static GLOBAL: neap::Neap = neap::Neap::new();

        fn main() {
            let mut words: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
            words.reserve(10_000);
            println!("{} {} {}", neap::stats().active, neap::scavenge(), words.last().unwrap());
        }
    "#;
    let dependencies = format!("neap = {{ path = \"{PACKAGE}\" }}");
    assert_eq!(run(&folder, &dependencies, main, "--cfg fuzzing"), "false 0 999\n");
    assert!(run(&folder, &dependencies, main, "").starts_with("true "));
}
