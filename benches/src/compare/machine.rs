//! What the figures were measured on.

use std::path::Path;
use std::process::Command;

use super::options::Options;
use super::record::Header;
use super::warm;

fn file(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The value of `key` in a file of `key: value` lines.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first line that a command prints.
fn output(program: &str, arguments: &[&str], directory: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(directory).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    output.status.success().then_some(text)
}

/// Cores that may be used.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn commit(root: &Path) -> String {
    let Some(commit) = output("git", &["rev-parse", "--short=12", "HEAD"], root) else { return "unknown".into() };
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"], root).is_some();
    if changed { format!("{commit} with local changes") } else { commit }
}

fn free_memory(options: &Options) -> &'static str {
    match (warm::is_virtual(), warm::is_wanted(options)) {
        (false, _) => "left as it is: no virtual machine",
        (true, true) => "touched before each process (not before bursts), since this is a virtual machine",
        (true, false) => "left as it is, though this is a virtual machine",
    }
}

/// The first line of the raw file.
pub fn header(options: &Options, root: &Path, idle_seconds: f64) -> Header {
    let cpu = value(&file("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let memory = value(&file("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let thp = "/sys/kernel/mm/transparent_hugepage";
    let mut lines = vec![
        ("CPU".to_owned(), format!("{cpu}, {} cores usable", cores())),
        ("memory".to_owned(), memory),
        ("kernel".to_owned(), file("/proc/sys/kernel/osrelease")),
        (
            "transparent huge pages".to_owned(),
            format!("enabled: {}; defrag: {}", file(&format!("{thp}/enabled")), file(&format!("{thp}/defrag"))),
        ),
        ("compiler".to_owned(), output("rustc", &["--version"], root).unwrap_or_else(|| "unknown".into())),
        ("C compiler".to_owned(), output("cc", &["--version"], root).unwrap_or_else(|| "none".into())),
        ("C library".to_owned(), output("ldd", &["--version"], root).unwrap_or_else(|| "unknown".into())),
        ("free memory".to_owned(), free_memory(options).to_owned()),
        ("commit".to_owned(), commit(root)),
        ("load before the run".to_owned(), file("/proc/loadavg")),
        ("scale".to_owned(), format!("{}, {} rounds", options.scale().name(), options.rounds())),
    ];
    for (name, value) in std::env::vars().filter(|(name, _)| name.starts_with("NEAP_")) {
        lines.push((name, value));
    }
    Header { lines, cores: cores(), idle_seconds, cpu_time: options.cpu_time }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn values_of_proc_files() {
        assert_eq!(value("a: 1\nmodel name\t: A CPU\n", "model name").as_deref(), Some("A CPU"));
        assert_eq!(value("a: 1\n", "b"), None);
    }
}
