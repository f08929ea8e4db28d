//! Time that a virtual machine's host gave to other guests, as the kernel counts it.
//!
//! A process without its processors is slow, whatever its allocator does. The kernel's count does not depend on the figures
//! of the process, so leaving the process out does not choose among results.

/// A process does not count if the host stole at least so many ticks and at least this part of the machine's time. One tick
/// is not enough: it may belong to the process before.
const TICKS: u64 = 2;
const PART: f64 = 0.03;

/// The machine's ticks so far: all, and those that were stolen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Reads them.
    pub fn now() -> Ticks {
        Self::parse(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// The first line: `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal; the guests' time that follows
    /// is part of user's and nice's.
    fn parse(text: &str) -> Ticks {
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        Ticks { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or(0) }
    }

    /// The part that was stolen since `earlier`.
    pub fn part_since(&self, earlier: &Ticks) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        if all == 0 { 0.0 } else { self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64 }
    }

    /// Whether the host stole so much time since `earlier` that figures from this time should not count.
    pub fn robbed_since(&self, earlier: &Ticks) -> bool {
        self.stolen.saturating_sub(earlier.stolen) >= TICKS && self.part_since(earlier) >= PART
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let ticks = Ticks::parse("cpu  10 1 5 100 4 0 2 8 50 0\ncpu0 1 1 1 1\n");
        assert_eq!(ticks, Ticks { all: 130, stolen: 8 });
        assert_eq!(Ticks::parse(""), Ticks::default());
        assert!(Ticks::now().all > 0);
    }

    #[test]
    fn one_tick_is_no_robbery() {
        let earlier = Ticks { all: 100, stolen: 5 };
        assert!(!Ticks { all: 110, stolen: 6 }.robbed_since(&earlier));
        assert!(Ticks { all: 140, stolen: 7 }.robbed_since(&earlier));
        assert!(!Ticks { all: 300, stolen: 8 }.robbed_since(&earlier), "few of many");
        assert_eq!(Ticks { all: 140, stolen: 7 }.part_since(&earlier), 0.05);
        assert_eq!(earlier.part_since(&earlier), 0.0);
    }
}
