//! What the kernel says about a process and the machine.

use std::fs;
use std::time::Duration;

/// The process's resident bytes.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    kib_field(&status(pid)?, "VmRSS:")
}

/// The most the process ever had resident.
pub fn peak_rss_bytes(pid: u32) -> Option<u64> {
    kib_field(&status(pid)?, "VmHWM:")
}

/// The machine's free bytes. Other programs change this figure, too. But it does not lie about huge pages: an unmapped part of
/// a huge page leaves RSS at once, and the kernel keeps the part until it splits the page.
pub fn free_bytes() -> Option<u64> {
    kib_field(&fs::read_to_string("/proc/meminfo").ok()?, "MemFree:")
}

/// CPU time of the process's living threads.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        total += schedstat.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(total))
}

fn status(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}
