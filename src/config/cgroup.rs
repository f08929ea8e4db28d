//! The memory and CPU limits of the process's cgroup, version 2 and version 1.
//!
//! The limits of a group and of all its ancestors hold, so each ancestor is asked and the tightest limit counts. A
//! container may see the path of its host but have a mount of its own. Then the directory of the group does not exist,
//! and the walk ends at the root of the mount, which is the container's group.
//!
//! The memory that counts against the limit is the usage without the page cache, because the kernel drops the cache by
//! itself. With the cache every process that reads files would be under pressure for ever.
//!
//! Locks: none. The caller's reader reads the files.

use super::path::Path;
use super::size::parse_number;
use core::ffi::CStr;

/// Room for the largest file. The beginning of `memory.stat` is enough.
const FILE_BYTES: usize = 2048;

/// The mount of version 2. The controllers of version 1 are mounted below it.
const ROOT: &[u8] = b"/sys/fs/cgroup";

/// A memory limit from here on is no limit: version 1 writes "no limit" as the largest number of whole pages.
const UNLIMITED: u64 = 1 << 62;

/// The limits of a cgroup and its ancestors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cgroup {
    /// The tightest memory limit.
    pub limit_bytes: Option<u64>,
    /// The tightest CPU quota, in thousandths of a CPU.
    pub milli_cpus: Option<u64>,
    /// The usage files of the group that has the tightest memory limit.
    usage: Option<Usage>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Usage {
    current: Path,
    stat: Path,
}

impl Cgroup {
    /// No limits.
    pub const NONE: Self = Self { limit_bytes: None, milli_cpus: None, usage: None };

    /// Finds the limits. `read` reads the beginning of a file into the buffer and returns the number of bytes read.
    pub fn find(mut read: impl FnMut(&CStr, &mut [u8]) -> Option<usize>) -> Self {
        let mut found = Self::default();
        let mut membership = [0; FILE_BYTES];
        let Some(text) = read_at(&mut read, &[b"/proc/self/cgroup"], &mut membership) else { return found };
        for line in text.split(|byte| *byte == b'\n') {
            let Some((controllers, path)) = parse_membership(line) else { continue };
            let has = |name: &[u8]| controllers.split(|byte| *byte == b',').any(|controller| controller == name);
            for group in ancestors(path) {
                if controllers.is_empty() {
                    found.ask_version_2(&mut read, group);
                }
                if has(b"memory") {
                    found.ask_memory(
                        &mut read,
                        &[ROOT, b"/memory", group],
                        b"/memory.limit_in_bytes",
                        [b"/memory.usage_in_bytes", b"/memory.stat"],
                    );
                }
                if has(b"cpu") {
                    found.ask_cpu_version_1(&mut read, group);
                }
            }
        }
        found
    }

    /// The memory that counts against `limit_bytes` now. Far below the limit this is the plain usage, an upper bound:
    /// the scavenger asks at every wake-up, and the kernel may have to gather `memory.stat` from every CPU.
    pub fn used_bytes(&self, mut read: impl FnMut(&CStr, &mut [u8]) -> Option<usize>) -> Option<u64> {
        let usage = self.usage?;
        let mut file = [0; FILE_BYTES];
        let len = read(usage.current.as_c_str(), &mut file)?;
        let current = parse_number(file.get(..len)?.trim_ascii())?;
        if self.limit_bytes.is_some_and(|limit| current < limit - limit / 8) {
            return Some(current);
        }
        let cache = match read(usage.stat.as_c_str(), &mut file) {
            Some(len) => page_cache_bytes(file.get(..len).unwrap_or_default()),
            None => 0,
        };
        Some(current.saturating_sub(cache))
    }

    fn ask_version_2(&mut self, read: &mut impl FnMut(&CStr, &mut [u8]) -> Option<usize>, group: &[u8]) {
        for name in [b"/memory.high".as_slice(), b"/memory.max"] {
            self.ask_memory(read, &[ROOT, group], name, [b"/memory.current", b"/memory.stat"]);
        }
        let mut file = [0; FILE_BYTES];
        if let Some(text) = read_at(read, &[ROOT, group, b"/cpu.max"], &mut file) {
            self.milli_cpus = tighter(self.milli_cpus, parse_cpu_max(text));
        }
    }

    fn ask_memory(
        &mut self,
        read: &mut impl FnMut(&CStr, &mut [u8]) -> Option<usize>,
        directory: &[&[u8]],
        name: &[u8],
        [current, stat]: [&[u8]; 2],
    ) {
        let Some(directory) = Path::join(directory) else { return };
        let directory = directory.as_c_str().to_bytes();
        let mut file = [0; FILE_BYTES];
        let Some(limit) = read_at(read, &[directory, name], &mut file).and_then(parse_memory_limit) else { return };
        if self.limit_bytes.is_none_or(|so_far| limit < so_far) {
            self.limit_bytes = Some(limit);
            self.usage = match (Path::join(&[directory, current]), Path::join(&[directory, stat])) {
                (Some(current), Some(stat)) => Some(Usage { current, stat }),
                _ => None,
            };
        }
    }

    fn ask_cpu_version_1(&mut self, read: &mut impl FnMut(&CStr, &mut [u8]) -> Option<usize>, group: &[u8]) {
        let (mut quota, mut period) = ([0; 64], [0; 64]);
        let quota = read_at(read, &[ROOT, b"/cpu", group, b"/cpu.cfs_quota_us"], &mut quota);
        let period = read_at(read, &[ROOT, b"/cpu", group, b"/cpu.cfs_period_us"], &mut period);
        if let (Some(quota), Some(period)) = (quota, period) {
            self.milli_cpus = tighter(self.milli_cpus, parse_cpu_quota(quota, period));
        }
    }
}

fn tighter(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn read_at<'a>(
    read: &mut impl FnMut(&CStr, &mut [u8]) -> Option<usize>,
    path: &[&[u8]],
    file: &'a mut [u8],
) -> Option<&'a [u8]> {
    let len = read(Path::join(path)?.as_c_str(), file)?;
    file.get(..len)
}

/// The controllers and the path in a line of `/proc/self/cgroup`. Version 2 has no controllers there.
pub fn parse_membership(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = line.splitn(3, |byte| *byte == b':');
    parse_number(fields.next()?)?;
    let (controllers, path) = (fields.next()?, fields.next()?);
    path.starts_with(b"/").then_some((controllers, path))
}

/// The paths of a group and of its ancestors, without a closing slash. The last path is empty: the root of the mount.
pub fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    core::iter::successors(Some(trimmed), |path| path.iter().rposition(|byte| *byte == b'/').map(|at| &path[..at]))
}

/// The bytes in `memory.max`, `memory.high` or `memory.limit_in_bytes`, if the file has a limit.
pub fn parse_memory_limit(text: &[u8]) -> Option<u64> {
    parse_number(text.trim_ascii()).filter(|bytes| *bytes < UNLIMITED)
}

/// The quota in `cpu.max` ("150000 100000") in thousandths of a CPU.
pub fn parse_cpu_max(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let space = text.iter().position(|byte| *byte == b' ')?;
    parse_cpu_quota(&text[..space], &text[space..])
}

/// The quota of `cpu.cfs_quota_us` and `cpu.cfs_period_us` in thousandths of a CPU, never 0.
pub fn parse_cpu_quota(quota: &[u8], period: &[u8]) -> Option<u64> {
    let (quota, period) = (parse_number(quota.trim_ascii())?, parse_number(period.trim_ascii())?);
    Some(quota.saturating_mul(1_000).checked_div(period)?.max(1))
}

/// The page cache in `memory.stat`: memory of files, which the kernel can drop.
pub fn page_cache_bytes(stat: &[u8]) -> u64 {
    let value = |key: &[u8]| {
        let mut lines = stat.split(|byte| *byte == b'\n');
        lines.find_map(|line| parse_number(line.strip_prefix(key)?.strip_prefix(b" ")?.trim_ascii()))
    };
    // Version 1 has figures of the group and totals with the groups below. Its usage covers the totals.
    let file = |v1: &[u8], v2: &[u8]| value(v1).or_else(|| value(v2)).unwrap_or(0);
    file(b"total_inactive_file", b"inactive_file").saturating_add(file(b"total_active_file", b"active_file"))
}
