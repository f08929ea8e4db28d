//! Counters of the kernel about this process: CPU time, page faults, context switches.

use std::time::Instant;

/// A reading of the counters, or the difference of two.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time in user mode.
    pub user_ns: u64,
    /// CPU time in the kernel.
    pub system_ns: u64,
    /// Page faults served without I/O.
    pub minor_faults: u64,
    /// Page faults that needed I/O.
    pub major_faults: u64,
    /// Voluntary context switches: waits.
    pub waits: u64,
    /// Involuntary ones: preemptions.
    pub preemptions: u64,
}

impl Usage {
    /// Reads the counters of the whole process.
    pub fn now() -> Self {
        // SAFETY: all-zero bytes are a valid `rusage`, and the call only fills it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            usage
        };
        let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
        Usage {
            user_ns: ns(usage.ru_utime),
            system_ns: ns(usage.ru_stime),
            minor_faults: usage.ru_minflt as u64,
            major_faults: usage.ru_majflt as u64,
            waits: usage.ru_nvcsw as u64,
            preemptions: usage.ru_nivcsw as u64,
        }
    }

    /// What happened since `earlier`.
    pub fn since(&self, earlier: &Usage) -> Usage {
        Usage {
            user_ns: self.user_ns - earlier.user_ns,
            system_ns: self.system_ns - earlier.system_ns,
            minor_faults: self.minor_faults - earlier.minor_faults,
            major_faults: self.major_faults - earlier.major_faults,
            waits: self.waits - earlier.waits,
            preemptions: self.preemptions - earlier.preemptions,
        }
    }

    /// User and kernel time together.
    pub fn cpu_ns(&self) -> u64 {
        self.user_ns + self.system_ns
    }
}

/// A measured stretch: wall time and counters.
pub struct Stretch {
    usage: Usage,
    clock: Instant,
}

impl Stretch {
    /// Starts.
    pub fn start() -> Self {
        let usage = Usage::now();
        Stretch { usage, clock: Instant::now() }
    }

    /// Wall time in nanoseconds and the counters since the start.
    pub fn end(&self) -> (u64, Usage) {
        let wall = self.clock.elapsed().as_nanos() as u64;
        (wall, Usage::now().since(&self.usage))
    }
}
