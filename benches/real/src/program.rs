//! The frame of a program of real code: work under the clock, then idleness under the driver's eyes.

use std::time::Duration;

use neap_workloads::measure::process;
use neap_workloads::measure::usage::Stretch;
use neap_workloads::outcome::Outcome;
use neap_workloads::workload::{END_MARKER, FREED_MARKER, Job, MARKER};

/// What a program has done.
pub struct Done {
    /// Operations.
    pub ops: u64,
    /// A number that follows from all results: the same under every allocator.
    pub checksum: u64,
}

/// Runs `work` on what `prepare` makes. The work must free all that it allocates and the input, too; `stays` (a pool of
/// threads, say) lives until the end.
pub fn run<P, I>(job: &Job, stays: P, prepare: impl FnOnce() -> I, work: impl FnOnce(&P, I) -> Done) -> Outcome {
    let idle = job.scale.pick(Duration::from_secs(8), Duration::from_secs(4), Duration::from_millis(20));
    let baseline = process::rss_bytes();
    let input = prepare();
    process::write_line(MARKER);
    let stretch = Stretch::start();
    let done = work(&stays, input);
    let measured = stretch.end();
    process::write_line(FREED_MARKER);
    let stretch = Stretch::start();
    std::thread::sleep(idle);
    let usage = stretch.end().1;
    process::write_line(END_MARKER);
    drop(stays);
    let mut outcome = Outcome::new(done.ops, measured);
    outcome.set("baseline_rss_bytes", baseline);
    outcome.set("checksum", done.checksum);
    outcome.set("idle_cpu_ns", usage.cpu_ns());
    outcome
}

/// Runs `work(index)` on so many threads and adds up what they answer.
pub fn on_threads(threads: usize, work: impl Fn(usize) -> Done + Sync) -> Done {
    let mut sum = Done { ops: 0, checksum: 0 };
    std::thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = (0..threads).map(|index| scope.spawn(move || work(index))).collect();
        for handle in handles {
            let done = handle.join().expect("no worker panics");
            sum.ops += done.ops;
            sum.checksum = sum.checksum.wrapping_add(done.checksum);
        }
    });
    sum
}
