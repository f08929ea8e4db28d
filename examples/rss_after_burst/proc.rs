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

/// CPU time of the process's threads, of those that have ended too: neap's background thread ends when its work is done. The
/// kernel counts in hundredths of a second.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in parentheses and may hold spaces. User and system time are the 14th and 15th field.
    let fields = stat.rsplit(')').next()?.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 10))
}

fn status(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}
