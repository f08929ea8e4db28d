//! Samples of a process' memory, taken from outside, so that the process can really be idle.
//!
//! Resident memory alone can lie: an unmapped part of a huge page no longer counts as resident, but the kernel keeps it.
//! So physical memory is sampled too. A memory cgroup of the process' own counts it, if one can be made. Otherwise the
//! machine's free memory tells it, which other processes disturb.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

fn read_number(file: &File, field: usize) -> Option<u64> {
    let mut buffer = [0u8; 256];
    let count = file.read_at(&mut buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..count]).ok()?.split_whitespace().nth(field)?.parse().ok()
}

/// A process' resident memory.
#[derive(Debug)]
pub struct Resident {
    file: File,
    page_bytes: u64,
}

impl Resident {
    /// Of the process `pid`.
    pub fn of(pid: u32) -> Option<Resident> {
        // SAFETY: a query without side effects.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
        File::open(format!("/proc/{pid}/statm")).ok().map(|file| Resident { file, page_bytes })
    }

    /// Bytes now; none when the process is gone.
    pub fn bytes(&self) -> Option<u64> {
        read_number(&self.file, 1).map(|pages| pages * self.page_bytes)
    }
}

/// Physical memory that a process takes.
#[derive(Debug)]
pub enum Physical {
    /// By its own cgroup.
    Cgroup {
        /// The cgroup's directory, removed at the end.
        directory: PathBuf,
        /// Its usage file.
        usage: File,
    },
    /// By the machine's free memory, against what was free before the process started.
    Free {
        /// Free bytes before.
        before: u64,
    },
}

impl Physical {
    /// Prepares a measurement for one process; `name` must be unique among those at work.
    pub fn prepare(name: &str) -> Physical {
        Self::cgroup(name).unwrap_or_else(|| Physical::Free { before: free_bytes() })
    }

    /// Whether processes can be measured side by side.
    pub fn is_separate(&self) -> bool {
        matches!(self, Physical::Cgroup { .. })
    }

    fn cgroup(name: &str) -> Option<Physical> {
        let (parent, file) = cgroup_of_this_process()?;
        let directory = parent.join(format!("neap-compare-{}-{name}", std::process::id()));
        std::fs::create_dir(&directory).ok()?;
        match File::open(directory.join(file)) {
            Ok(usage) if directory.join("cgroup.procs").exists() => Some(Physical::Cgroup { directory, usage }),
            _ => {
                // The kernel made the directory but counts no memory in it.
                let _ = std::fs::remove_dir(&directory);
                None
            }
        }
    }

    /// The cgroup that the process should join.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Physical::Cgroup { directory, .. } => Some(directory),
            Physical::Free { .. } => None,
        }
    }

    /// Bytes taken now.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Physical::Cgroup { usage, .. } => read_number(usage, 0),
            Physical::Free { before } => Some(before.saturating_sub(free_bytes())),
        }
    }

    /// The method's name.
    pub fn method(&self) -> &'static str {
        match self {
            Physical::Cgroup { .. } => "memory cgroup",
            Physical::Free { .. } => "free memory of the machine",
        }
    }
}

impl Drop for Physical {
    fn drop(&mut self) {
        if let Physical::Cgroup { directory, .. } = self {
            // Fails while the process is still there; a cgroup left behind is empty and does no harm.
            let _ = std::fs::remove_dir(directory);
        }
    }
}

fn meminfo(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn free_bytes() -> u64 {
    meminfo("MemFree:")
}

/// Memory that new processes can have.
pub fn available_bytes() -> u64 {
    meminfo("MemAvailable:")
}

/// The memory cgroup of this process, and the name of the usage file in it (version 1, then 2).
fn cgroup_of_this_process() -> Option<(PathBuf, &'static str)> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    parse_cgroup(&text).into_iter().find(|(directory, file)| directory.join(file).exists())
}

fn parse_cgroup(text: &str) -> Vec<(PathBuf, &'static str)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|controller| controller == "memory") {
            found.insert(0, (Path::new("/sys/fs/cgroup/memory").join(path), "memory.usage_in_bytes"));
        } else if controllers.is_empty() {
            found.push((Path::new("/sys/fs/cgroup").join(path), "memory.current"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_both_versions_are_found() {
        let both = parse_cgroup("4:memory:/a/b\n1:cpu:/\n0::/c\n");
        assert_eq!(both[0], (PathBuf::from("/sys/fs/cgroup/memory/a/b"), "memory.usage_in_bytes"));
        assert_eq!(both[1], (PathBuf::from("/sys/fs/cgroup/c"), "memory.current"));
        assert!(parse_cgroup("nonsense").is_empty());
    }

    #[test]
    fn this_process_is_resident() {
        let resident = Resident::of(std::process::id()).unwrap();
        assert!(resident.bytes().unwrap() > 100 << 10);
        assert!(available_bytes() > 0);
    }
}
