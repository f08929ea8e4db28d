//! Statistics: a snapshot of plain numbers, written as text, JSON, XML or Prometheus metrics.
//!
//! One table defines the fields, so no writer forgets a field. "Retained" means free and still backed. (jemalloc's
//! `stats.retained` means nearly the opposite: address space whose memory is gone.)
//!
//! Invariants
//! 1. At a quiescent point `mapped = in use + retained + released + in flight + cached`, in bytes. While other threads
//!    allocate, the two sides of a snapshot may differ by the bytes that change their state.
//! 2. The writers allocate nothing. They fail only if the target fails.
//!
//! Locks: none. This module reads no heap: each floor of the heap writes its own numbers into the snapshot.
#![forbid(unsafe_code)]

use core::fmt::{self, Write};

macro_rules! stats {
    ($($name:ident $kind:ident $help:literal)*) => {
        /// A snapshot of the heap. A number counts bytes unless its name says otherwise. A number with `total` in its name
        /// only ever grows.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub struct Stats {
            /// Whether this copy of neap has served an allocation. `false` where another allocator is the program's, be it another
            /// version of neap, and on systems where neap hands through to the system's allocator. All numbers are zero then.
            pub active: bool,
            $(#[doc = $help] pub $name: u64,)*
        }

        impl Stats {
            /// Every field: its name, its kind of metric, its meaning and its value.
            fn fields(&self) -> impl Iterator<Item = Field> {
                [
                    Field { name: "active", kind: Kind::Gauge, help: ACTIVE, value: u64::from(self.active) },
                    $(Field { name: stringify!($name), kind: Kind::$kind, help: $help, value: self.$name },)*
                ]
                .into_iter()
            }
        }
    };
}

const ACTIVE: &str = "1 if this copy of neap has served an allocation; with 0 another allocator is the program's.";

stats! {
    reserved_bytes Gauge "Address space set aside for the heap."
    mapped_bytes Gauge "Pages that the heap has, backed or not."
    in_use_bytes Gauge "Pages that belong to spans."
    live_bytes Gauge "Slots and large blocks that the program or the threads' magazines have (part of the pages in use)."
    retained_bytes Gauge "Pages that are free and still backed."
    released_bytes Gauge "Pages that are free and not backed."
    in_flight_bytes Gauge "Pages that are being released at this moment."
    cached_bytes Gauge "Free pages in page caches."
    hole_released_bytes Gauge "Parts of pages in use that hold no live slot and are not backed."
    hole_bytes Gauge "Free slots of partly used spans, still backed (an estimate; part of the pages in use)."
    depot_bytes Gauge "Free slots in depots (part of the pages in use)."
    metadata_bytes Gauge "Backed memory of the allocator's own tables, at most."
    limit_bytes Gauge "The memory limit in force; 0 without one."
    threads Gauge "Threads that have a thread cache."
    released_bytes_total Counter "Bytes released to the OS so far, holes included."
    faulted_bytes_total Counter "Bytes that were taken while they were not backed: fresh pages and released pages."
    refaulted_bytes_total Counter "Released bytes that were taken again, at least. Fresh pages do not count."
    refused_releases_total Counter "Releases that the kernel refused, for instance because the memory is locked."
    inline_released_bytes_total Counter "Bytes that allocating threads released when the heap grew."
    growths_total Counter "Times the heap grew."
    scavenges_total Counter "Passes over the free memory, by the scavenger and by other threads."
    scavenger_cpu_ns_total Counter "CPU time that the scavenger has used."
}

/// One number of a snapshot.
struct Field {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

impl Stats {
    /// The right side of the identity: the sum over the states that a mapped page can be in.
    pub const fn accounted_bytes(&self) -> u64 {
        self.in_use_bytes
            .saturating_add(self.retained_bytes)
            .saturating_add(self.released_bytes)
            .saturating_add(self.in_flight_bytes)
            .saturating_add(self.cached_bytes)
    }

    /// Whether the identity holds.
    pub const fn adds_up(&self) -> bool {
        self.mapped_bytes == self.accounted_bytes()
    }

    /// The backed bytes of the heap and of its tables, by the allocator's own accounts. It is an upper bound of neap's share
    /// of the process's RSS, because RSS does not count pages that were never written.
    pub const fn backed_bytes(&self) -> u64 {
        self.in_use_bytes
            .saturating_sub(self.hole_released_bytes)
            .saturating_add(self.retained_bytes)
            .saturating_add(self.in_flight_bytes)
            .saturating_add(self.cached_bytes)
            .saturating_add(self.metadata_bytes)
    }

    /// Writes one JSON object on one line.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        let mut before = '{';
        for Field { name, value, .. } in self.fields() {
            write!(out, "{before}\"{name}\":{value}")?;
            before = ',';
        }
        out.write_char('}')
    }

    /// Writes one XML element for each field.
    pub fn write_xml(&self, out: &mut impl Write) -> fmt::Result {
        for Field { name, value, .. } in self.fields() {
            writeln!(out, "<{name}>{value}</{name}>")?;
        }
        Ok(())
    }

    /// Writes Prometheus' text format, every name with `neap_` in front. Times are in seconds, as Prometheus wants them.
    pub fn write_prometheus(&self, out: &mut impl Write) -> fmt::Result {
        for Field { name, kind, help, value } in self.fields() {
            let kind = match kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
            };
            let (name, unit) = name.strip_suffix("_ns_total").map_or((name, ""), |time| (time, "_seconds_total"));
            write!(out, "# HELP neap_{name}{unit} {help}\n# TYPE neap_{name}{unit} {kind}\nneap_{name}{unit} ")?;
            match unit {
                "" => writeln!(out, "{value}")?,
                _ => writeln!(out, "{}.{:09}", value / 1_000_000_000, value % 1_000_000_000)?,
            }
        }
        Ok(())
    }
}

/// Text for people: the identity first, then one field a line. Bytes are in MiB. Of a snapshot that is not active a line says so.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.active {
            return writeln!(f, "this copy of neap is not the program's allocator: it has served no allocation");
        }
        writeln!(
            f,
            "mapped {} = in use {} + retained {} + released {} + in flight {} + cached {}",
            Mib(self.mapped_bytes),
            Mib(self.in_use_bytes),
            Mib(self.retained_bytes),
            Mib(self.released_bytes),
            Mib(self.in_flight_bytes),
            Mib(self.cached_bytes)
        )?;
        writeln!(f, "backed {}", Mib(self.backed_bytes()))?;
        for Field { name, value, .. } in self.fields().filter(|field| field.name != "active") {
            match name.strip_suffix("_bytes").or_else(|| name.strip_suffix("_bytes_total")) {
                Some(short) if name.ends_with("_total") => writeln!(f, "{short} so far {}", Mib(value))?,
                Some(short) => writeln!(f, "{short} {}", Mib(value))?,
                None => writeln!(f, "{name} {value}")?,
            }
        }
        Ok(())
    }
}

/// Bytes shown in MiB with one decimal, rounded down.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} MiB", self.0 >> 20, ((self.0 & ((1 << 20) - 1)) * 10) >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    fn sample() -> Stats {
        Stats {
            active: true,
            mapped_bytes: 10 << 20,
            in_use_bytes: 5 << 20,
            retained_bytes: 3 << 19,
            released_bytes: 3 << 20,
            cached_bytes: 1 << 19,
            hole_released_bytes: 1 << 20,
            released_bytes_total: 7,
            scavenger_cpu_ns_total: 3_000_000_007,
            ..Stats::default()
        }
    }

    #[test]
    fn the_identity() {
        assert!(sample().adds_up());
        assert!(!Stats { in_flight_bytes: 8192, ..sample() }.adds_up());
        assert_eq!(sample().backed_bytes(), 6 << 20);
        let full = Stats { in_use_bytes: u64::MAX, retained_bytes: u64::MAX, ..Stats::default() };
        assert_eq!(full.accounted_bytes(), u64::MAX);
    }

    #[test]
    fn text_begins_with_the_identity() {
        let text = sample().to_string();
        let first = "mapped 10.0 MiB = in use 5.0 MiB + retained 1.5 MiB + released 3.0 MiB + in flight 0.0 MiB + cached 0.5 MiB";
        assert_eq!(text.lines().next(), Some(first));
        assert!(text.contains("\nreleased so far 0.0 MiB\n") && text.contains("\nthreads 0\n"), "{text}");
    }

    #[test]
    fn a_snapshot_that_is_not_active_says_so_and_no_numbers() {
        let text = Stats::default().to_string();
        assert!(text.contains("not the program's allocator") && text.lines().count() == 1, "{text}");
        let mut metrics = String::new();
        Stats::default().write_prometheus(&mut metrics).unwrap();
        assert!(metrics.contains("\nneap_active 0\n"), "{metrics}");
    }

    #[test]
    fn json_is_one_flat_object() {
        let mut text = String::new();
        sample().write_json(&mut text).unwrap();
        assert!(
            text.starts_with("{\"active\":1,\"reserved_bytes\":0,\"mapped_bytes\":10485760,") && text.ends_with("}")
        );
        assert!(text.contains("\"released_bytes_total\":7"));
        assert_eq!(text.matches(':').count(), sample().fields().count());
        assert_eq!(text.matches(',').count() + 1, sample().fields().count());
    }

    #[test]
    fn prometheus_says_help_type_and_value_for_each() {
        let mut text = String::new();
        sample().write_prometheus(&mut text).unwrap();
        assert_eq!(text.lines().count(), 3 * sample().fields().count());
        assert!(text.contains("# TYPE neap_retained_bytes gauge\nneap_retained_bytes 1572864\n"));
        assert!(text.contains(
            "# TYPE neap_scavenger_cpu_seconds_total counter\nneap_scavenger_cpu_seconds_total 3.000000007\n"
        ));
        assert!(!text.contains("_ns") && !text.contains("address"), "times in seconds, and no address: {text}");
        assert!(text.contains("# TYPE neap_released_bytes_total counter\nneap_released_bytes_total 7\n"));
        for field in sample().fields() {
            assert_eq!(field.name.ends_with("_total"), matches!(field.kind, Kind::Counter), "{}", field.name);
        }
    }

    #[test]
    fn a_target_that_fails_ends_the_writing() {
        struct Full;
        impl Write for Full {
            fn write_str(&mut self, _: &str) -> fmt::Result {
                Err(fmt::Error)
            }
        }
        assert!(sample().write_json(&mut Full).is_err() && sample().write_prometheus(&mut Full).is_err());
    }
}
