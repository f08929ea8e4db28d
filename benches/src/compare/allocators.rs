//! The allocators of the comparison.

/// One allocator in its default configuration.
#[derive(Debug)]
pub struct Allocator {
    /// Name on the command line and in the tables.
    pub name: &'static str,
    /// The package that holds its runner, in `benches`.
    pub manifest: &'static str,
    /// The runner's feature; none for the system allocator.
    pub feature: Option<&'static str>,
    /// The package whose build script compiles C or C++.
    pub compiles: Option<&'static str>,
    /// Packages whose versions are worth knowing.
    pub packages: &'static [&'static str],
    /// The version inside the packages, which their own numbers do not tell.
    pub inside: &'static str,
    /// Variables its processes get.
    pub environment: &'static [(&'static str, &'static str)],
    /// Whether it needs a nightly toolchain.
    pub nightly: bool,
    /// A shared library to preload under the system runner, if the machine has it.
    pub preload: Option<&'static str>,
}

/// What most of them have in common.
const PLAIN: Allocator = Allocator {
    name: "",
    manifest: "runner",
    feature: None,
    compiles: None,
    packages: &[],
    inside: "",
    environment: &[],
    nightly: false,
    preload: None,
};

/// The name of the one that all others are compared with.
pub const OURS: &str = "neap";

/// All allocators, in the order of the tables.
pub static ALL: [Allocator; 15] = [
    Allocator { name: OURS, feature: Some("neap"), packages: &["neap"], ..PLAIN },
    Allocator { name: "system", inside: "the C library's malloc", ..PLAIN },
    Allocator {
        name: "mimalloc3",
        feature: Some("mimalloc3"),
        compiles: Some("libmimalloc-sys"),
        packages: &["mimalloc", "libmimalloc-sys"],
        inside: "mimalloc 3.3.2",
        ..PLAIN
    },
    Allocator {
        name: "mimalloc2",
        feature: Some("mimalloc2"),
        compiles: Some("libmimalloc-sys"),
        packages: &["mimalloc", "libmimalloc-sys"],
        inside: "mimalloc 2.3.2",
        ..PLAIN
    },
    Allocator {
        name: "jemalloc",
        feature: Some("jemalloc"),
        compiles: Some("tikv-jemalloc-sys"),
        packages: &["tikv-jemallocator", "tikv-jemalloc-sys"],
        inside: "jemalloc 5.3.1",
        ..PLAIN
    },
    Allocator {
        name: "jemalloc-bg",
        feature: Some("jemalloc"),
        compiles: Some("tikv-jemalloc-sys"),
        packages: &["tikv-jemallocator", "tikv-jemalloc-sys"],
        inside: "jemalloc 5.3.1 with background_thread:true",
        environment: &[("_RJEM_MALLOC_CONF", "background_thread:true")],
        ..PLAIN
    },
    Allocator {
        name: "snmalloc",
        feature: Some("snmalloc"),
        compiles: Some("snmalloc-sys"),
        packages: &["snmalloc-rs", "snmalloc-sys"],
        ..PLAIN
    },
    Allocator {
        name: "rpmalloc",
        feature: Some("rpmalloc"),
        compiles: Some("rpmalloc-sys"),
        packages: &["rpmalloc", "rpmalloc-sys"],
        inside: "rpmalloc 1.4; version 2 is not published as a crate",
        ..PLAIN
    },
    Allocator {
        name: "rusty_alloc",
        feature: Some("rusty_alloc"),
        packages: &["rusty_alloc-api", "rusty_alloc"],
        ..PLAIN
    },
    Allocator { name: "ferroc", feature: Some("ferroc"), packages: &["ferroc"], nightly: true, ..PLAIN },
    Allocator {
        name: "mimalloc-pprof",
        manifest: "runner-pprof",
        feature: Some("mimalloc-pprof"),
        compiles: Some("mimalloc-pprof"),
        packages: &["mimalloc-pprof"],
        inside: "with its scavenger thread, which is its default",
        ..PLAIN
    },
    Allocator {
        name: "mimalloc-pprof-0",
        manifest: "runner-pprof",
        feature: Some("mimalloc-pprof"),
        compiles: Some("mimalloc-pprof"),
        packages: &["mimalloc-pprof"],
        inside: "without its scavenger thread (MIMALLOC_SCAVENGER=0)",
        environment: &[("MIMALLOC_SCAVENGER", "0")],
        ..PLAIN
    },
    Allocator {
        name: "tcmalloc",
        preload: Some("libtcmalloc_minimal.so.4"),
        inside: "gperftools' shared library, preloaded under the system runner",
        ..PLAIN
    },
    Allocator {
        name: "snmalloc-so",
        preload: Some("libsnmalloc.so"),
        inside: "as a shared library, preloaded under the system runner",
        ..PLAIN
    },
    Allocator {
        name: "rpmalloc2-so",
        preload: Some("librpmalloc.so"),
        inside: "rpmalloc 2 as a shared library, preloaded under the system runner",
        ..PLAIN
    },
];

/// Variables that would change an allocator's configuration: taken from the processes' environment.
pub fn is_tuning(variable: &str) -> bool {
    ["MIMALLOC_", "MALLOC_", "_RJEM_MALLOC", "RPMALLOC_", "SNMALLOC_", "TCMALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, allocator) in ALL.iter().enumerate() {
            assert!(!allocator.name.is_empty());
            assert!(ALL[..index].iter().all(|earlier| earlier.name != allocator.name), "{}", allocator.name);
        }
    }

    #[test]
    fn tuning_variables_are_known() {
        assert!(is_tuning("MALLOC_ARENA_MAX") && is_tuning("MIMALLOC_PURGE_DELAY"));
        assert!(!is_tuning("PATH") && !is_tuning("NEAP_SCAVENGE"));
    }
}
