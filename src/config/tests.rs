//! Tests of the configuration: tables, and arbitrary bytes.

use super::cgroup::*;
use super::error::NAMES;
use super::path::Path;
use super::*;
use core::ffi::CStr;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("1048576", Some(1 << 20)),
        ("7b", Some(7)),
        ("4k", Some(4 << 10)),
        ("512M", Some(512 << 20)),
        ("512 MiB", Some(512 << 20)),
        ("2GiB", Some(2 << 30)),
        ("2gib", Some(2 << 30)),
        ("3T", Some(3 << 40)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("16777216T", None),
        ("1KB", None),
        ("1.5G", None),
        ("-1", None),
        ("+1", None),
        ("", None),
        ("M", None),
        ("1Mi", None),
        ("1M1", None),
        ("1X", None),
    ] {
        assert_eq!(parse_size(text.as_bytes()), bytes, "{text}");
    }
}

fn applied(name: &str, value: &str) -> Config {
    let mut config = Config::DEFAULT;
    config.apply(name.as_bytes(), value.as_bytes()).unwrap();
    config
}

#[test]
fn every_variable_takes_its_values() {
    let default = Config::DEFAULT;
    for (name, value, expected) in [
        ("NEAP_SCAVENGER", "off", Config { scavenger: false, ..default }),
        ("NEAP_SCAVENGER", "ON", default),
        ("NEAP_SCAVENGER", "0", Config { scavenger: false, ..default }),
        ("NEAP_LIMIT", "none", Config { limit: Limit::None, ..default }),
        ("NEAP_LIMIT", "cgroup", default),
        ("NEAP_LIMIT", " 1G ", Config { limit: Limit::Bytes(1 << 30), ..default }),
        ("NEAP_HARD_LIMIT", "2G", Config { hard_limit_bytes: Some(2 << 30), ..default }),
        ("NEAP_HARD_LIMIT", "none", default),
        ("NEAP_RETAIN_MAX", "0", Config { retain_max_bytes: Some(0), ..default }),
        ("NEAP_THP", "on", Config { huge_pages: HugePages::On, ..default }),
        ("NEAP_THP", "off", Config { huge_pages: HugePages::Off, ..default }),
        ("NEAP_THP", "auto", default),
        ("NEAP_THP", "", default),
        ("NEAPOLITAN", "pizza", default),
        ("PATH", "/bin", default),
    ] {
        assert_eq!(applied(name, value), expected, "{name}={value}");
    }
    for name in NAMES {
        assert_eq!(applied(name, ""), default);
    }
}

#[test]
fn errors_are_one_clear_line_and_leave_the_default() {
    for (name, value, line) in [
        ("NEAP_SCAVENGER", "maybe", "config: NEAP_SCAVENGER=\"maybe\" is ignored; accepted: on or off"),
        (
            "NEAP_LIMIT",
            "1,5G",
            "config: NEAP_LIMIT=\"1,5G\" is ignored; accepted: a size like 512M or 2GiB, cgroup, or none",
        ),
        ("NEAP_LIMIT", "0", "config: NEAP_LIMIT=\"0\" is ignored; accepted: a size like 512M or 2GiB, cgroup, or none"),
        (
            "NEAP_RETAIN_MAX",
            "lots",
            "config: NEAP_RETAIN_MAX=\"lots\" is ignored; accepted: a size like 512M or 2GiB, or none",
        ),
        ("NEAP_THP", "\x1b[31m\n", "config: NEAP_THP=\"?[31m\" is ignored; accepted: auto, on or off"),
        ("NEAP_SCAVANGER", "on", "config: NEAP_SCAVANGER is unknown and ignored; did you mean NEAP_SCAVENGER?"),
        ("NEAP_LIMITS", "1", "config: NEAP_LIMITS is unknown and ignored; did you mean NEAP_LIMIT?"),
        ("NEAP_RETAINED_MAX", "1", "config: NEAP_RETAINED_MAX is unknown and ignored; did you mean NEAP_RETAIN_MAX?"),
        ("NEAP_HUGE", "1", "config: NEAP_HUGE is unknown and ignored; did you mean NEAP_THP?"),
        ("NEAP_thp", "on", "config: NEAP_thp is unknown and ignored; did you mean NEAP_THP?"),
        // Each letter to add is an edit.
        ("NEAP_HARD_L", "on", "config: NEAP_HARD_L is unknown and ignored; did you mean NEAP_HARD_LIMIT?"),
    ] {
        let mut config = Config::DEFAULT;
        let error = config.apply(name.as_bytes(), value.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), line);
        assert_eq!(config, Config::DEFAULT);
    }
}

#[test]
fn long_values_are_cut() {
    for (bytes, shown) in [(40, "x".repeat(40)), (41, "x".repeat(40) + "..."), (10_000, "x".repeat(40) + "...")] {
        let value = "x".repeat(bytes);
        let mut config = Config::DEFAULT;
        let line = config.apply(b"NEAP_THP", value.as_bytes()).unwrap_err().to_string();
        assert!(line.contains(&std::format!("\"{shown}\"")), "{line}");
    }
}

#[test]
fn cgroup_texts() {
    assert_eq!(parse_memory_limit(b"max\n"), None);
    assert_eq!(parse_memory_limit(b"536870912\n"), Some(512 << 20));
    assert_eq!(parse_memory_limit(b"9223372036854771712\n"), None);
    assert_eq!(parse_memory_limit(b""), None);
    assert_eq!(parse_memory_limit(b"4611686018427387904"), None, "as good as no limit");
    assert_eq!(parse_memory_limit(b"4611686018427387903"), Some((1 << 62) - 1));
    for (text, milli) in [
        ("max 100000\n", None),
        ("150000 100000\n", Some(1_500)),
        ("1 1000000", Some(1)),
        ("100000 0", None),
        ("100000", None),
        ("18446744073709551615 1", Some(u64::MAX)),
    ] {
        assert_eq!(parse_cpu_max(text.as_bytes()), milli, "{text}");
    }
    assert_eq!(parse_cpu_quota(b"-1\n", b"100000\n"), None);
    assert_eq!(parse_cpu_quota(b"50000\n", b"100000\n"), Some(500));
    assert_eq!(parse_membership(b"0::/user.slice/a:b"), Some((&b""[..], &b"/user.slice/a:b"[..])));
    assert_eq!(parse_membership(b"4:cpu,cpuacct:/x"), Some((&b"cpu,cpuacct"[..], &b"/x"[..])));
    assert_eq!(parse_membership(b"0:"), None);
    let up: Vec<&[u8]> = ancestors(b"/a/b").collect();
    assert_eq!(up, [&b"/a/b"[..], b"/a", b""]);
    assert_eq!(ancestors(b"/").collect::<Vec<_>>(), [b""]);
    assert_eq!(page_cache_bytes(b"anon 5\nfile 9\ninactive_file 3\nactive_file 4\n"), 7);
    assert_eq!(page_cache_bytes(b"active_file 4\ntotal_active_file 40\n"), 40);
}

/// A reader of the files in a list.
fn files<'a>(list: &'a [(&'a str, &'a str)]) -> impl FnMut(&CStr, &mut [u8]) -> Option<usize> + 'a {
    move |path, buffer| {
        let (_, text) = list.iter().find(|(name, _)| name.as_bytes() == path.to_bytes())?;
        let len = text.len().min(buffer.len());
        buffer[..len].copy_from_slice(&text.as_bytes()[..len]);
        Some(len)
    }
}

#[test]
fn the_tightest_limit_of_all_ancestors_counts() {
    let list = [
        ("/proc/self/cgroup", "0::/pod/box\n"),
        ("/sys/fs/cgroup/pod/box/memory.max", "max\n"),
        ("/sys/fs/cgroup/pod/box/memory.high", "max\n"),
        ("/sys/fs/cgroup/pod/box/cpu.max", "200000 100000\n"),
        ("/sys/fs/cgroup/pod/memory.max", "1000\n"),
        ("/sys/fs/cgroup/pod/memory.high", "800\n"),
        ("/sys/fs/cgroup/pod/cpu.max", "50000 100000\n"),
        ("/sys/fs/cgroup/pod/memory.current", "790\n"),
        ("/sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file 100\nactive_file 50\n"),
    ];
    let found = Cgroup::find(files(&list));
    assert_eq!((found.limit_bytes, found.milli_cpus), (Some(800), Some(500)));
    assert_eq!(found.used_bytes(files(&list)), Some(640));
    assert_eq!(found.used_bytes(files(&list[..8])), Some(790), "without memory.stat");
    assert_eq!(found.used_bytes(files(&[])), None);
    let far_below = [("/sys/fs/cgroup/pod/memory.current", "699\n"), list[8]];
    assert_eq!(found.used_bytes(files(&far_below)), Some(699), "no need to look at memory.stat");
    let near = [("/sys/fs/cgroup/pod/memory.current", "700\n"), list[8]];
    assert_eq!(found.used_bytes(files(&near)), Some(550));
}

#[test]
fn a_tighter_limit_farther_up_counts() {
    let list = [
        ("/proc/self/cgroup", "0::/pod/box\n"),
        ("/sys/fs/cgroup/pod/box/memory.max", "900\n"),
        ("/sys/fs/cgroup/pod/box/memory.current", "10\n"),
        ("/sys/fs/cgroup/pod/memory.max", "800\n"),
        ("/sys/fs/cgroup/pod/memory.current", "20\n"),
    ];
    let found = Cgroup::find(files(&list));
    assert_eq!((found.limit_bytes, found.used_bytes(files(&list))), (Some(800), Some(20)));
}

#[test]
fn a_container_that_sees_the_hosts_path_asks_the_root_of_its_mount() {
    let list = [("/proc/self/cgroup", "0::/docker/0123\n"), ("/sys/fs/cgroup/memory.max", "4096\n")];
    assert_eq!(Cgroup::find(files(&list)).limit_bytes, Some(4096));
}

#[test]
fn version_1() {
    let list = [
        ("/proc/self/cgroup", "5:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/init\n0::/init\n"),
        ("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "4096\n"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "1024\n"),
        ("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "25000\n"),
        ("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ];
    let found = Cgroup::find(files(&list));
    assert_eq!((found.limit_bytes, found.milli_cpus), (Some(4096), Some(250)));
    assert_eq!(found.used_bytes(files(&list)), Some(1024));
}

#[test]
fn each_controller_of_version_1_has_a_path_of_its_own() {
    let list = [
        ("/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/c\n"),
        ("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "4096\n"),
        ("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "1024\n"),
        ("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "25000\n"),
        ("/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n"),
        ("/sys/fs/cgroup/cpu/m/cpu.cfs_quota_us", "1000\n"),
        ("/sys/fs/cgroup/cpu/m/cpu.cfs_period_us", "100000\n"),
    ];
    let found = Cgroup::find(files(&list));
    assert_eq!((found.limit_bytes, found.milli_cpus), (Some(4096), Some(250)));
    assert_ne!(found, Cgroup::find(files(&[("/proc/self/cgroup", "5:memory:/c\n"), list[2]])));
}

#[test]
fn paths_are_refused_where_they_are_too_long_or_hold_a_zero() {
    let long = [b'x'; 512];
    assert_eq!(Path::join(&[&long]), None);
    assert_eq!(Path::join(&[&long[..500], &long[..12]]), None);
    assert_eq!(Path::join(&[b"/a\0", b"/b"]), None);
    let path = Path::join(&[&long[..500], &long[..11]]).unwrap();
    assert_eq!(path.as_c_str().to_bytes(), &long[..511]);
    let [short, same, other] = [[&b"/a"[..], b"/b"], [b"/a/", b"b"], [b"/a", b"/c"]].map(|parts| Path::join(&parts));
    assert!(short == same && short != other);
    assert_eq!(std::format!("{:?}", short.unwrap()), "\"/a/b\"");
}

#[test]
fn without_cgroups_there_is_no_limit() {
    assert_eq!(Cgroup::find(files(&[])), Cgroup::default());
    assert_eq!(Cgroup::find(files(&[("/proc/self/cgroup", "")])), Cgroup::default());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(
        text in proptest::collection::vec(any::<u8>(), 0..300), more in "[0-9a-z:/, \n]{0,200}", which in 0..6_usize
    ) {
        for bytes in [text.as_slice(), more.as_bytes()] {
            let mut config = Config::DEFAULT;
            let name = NAMES.get(which).map_or(bytes, |name| name.as_bytes());
            if let Err(error) = config.apply(name, bytes) {
                let line: String = error.to_string();
                prop_assert!(line.len() < 256 && line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
                prop_assert_eq!(config, Config::DEFAULT);
            }
            let _ = (parse_memory_limit(bytes), parse_cpu_max(bytes), parse_cpu_quota(bytes, bytes));
            let _ = (page_cache_bytes(bytes), parse_membership(bytes), ancestors(bytes).count());
            let found = Cgroup::find(|_, buffer| {
                let len = bytes.len().min(buffer.len());
                buffer[..len].copy_from_slice(&bytes[..len]);
                Some(len)
            });
            let _ = found.used_bytes(|_, _| Some(usize::MAX));
        }
    }
}
