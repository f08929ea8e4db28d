//! Runs one closure on several threads and times the part between a common start and the last end.

use std::sync::Barrier;
use std::time::Instant;

use crate::measure::cpus::Cpus;
use crate::measure::usage::{Stretch, Usage};

/// Runs `work(index, state)` on one thread for each element of `states` (on the calling thread when there is only one),
/// all starting together. Gives wall time and counters; thread creation is in neither.
///
/// The wall time goes from the start of the first worker to the end of the last one, by the workers' own clocks. The waiting
/// thread would be a bad clock: with more threads than cores it may run late.
///
/// If there are enough CPUs, each worker is bound to one.
pub fn run<S: Send>(states: &mut [S], work: impl Fn(usize, &mut S) + Sync) -> (u64, Usage) {
    if let [only] = states {
        let stretch = Stretch::start();
        work(0, only);
        return stretch.end();
    }
    let start = Barrier::new(states.len() + 1);
    let cpus = Cpus::allowed().filter(|cpus| states.len() <= cpus.count());
    std::thread::scope(|scope| {
        let (start, cpus, work) = (&start, &cpus, &work);
        let handles: Vec<_> = states
            .iter_mut()
            .enumerate()
            .map(|(index, state)| {
                scope.spawn(move || {
                    if let Some(cpus) = cpus {
                        cpus.bind(index);
                    }
                    start.wait();
                    let begin = Instant::now();
                    work(index, state);
                    (begin, Instant::now())
                })
            })
            .collect();
        let before = Usage::now();
        start.wait();
        let mut whole: Option<(Instant, Instant)> = None;
        for handle in handles {
            let Ok((begin, end)) = handle.join() else {
                eprintln!("neap-workloads: a worker thread panicked");
                std::process::abort();
            };
            let (first, last) = whole.unwrap_or((begin, end));
            whole = Some((first.min(begin), last.max(end)));
        }
        let usage = Usage::now().since(&before);
        (whole.map_or(0, |(first, last)| (last - first).as_nanos() as u64), usage)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_longest_thread_counts() {
        for threads in [1, 3] {
            let mut times: Vec<u64> = (0..threads).map(|index| 5 + 10 * index).collect();
            let (wall_ns, _) = run(&mut times, |_, time| std::thread::sleep(Duration::from_millis(*time)));
            assert!(wall_ns >= 1_000_000 * times[times.len() - 1], "{threads}: {wall_ns}");
        }
    }
}
