//! Runs one closure on several threads and times the part between a common start and the last end.

use std::sync::Barrier;

use crate::measure::usage::{Stretch, Usage};

/// Runs `work(index, state)` on one thread for each element of `states` (on the calling thread when there is only one), all starting together.
/// Thread creation is not timed. Gives wall time and counters.
pub fn run<S: Send>(states: &mut [S], work: impl Fn(usize, &mut S) + Sync) -> (u64, Usage) {
    if let [only] = states {
        let stretch = Stretch::start();
        work(0, only);
        return stretch.end();
    }
    let start = Barrier::new(states.len() + 1);
    std::thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let handles: Vec<_> = states
            .iter_mut()
            .enumerate()
            .map(|(index, state)| {
                scope.spawn(move || {
                    start.wait();
                    work(index, state);
                })
            })
            .collect();
        start.wait();
        let stretch = Stretch::start();
        for handle in handles {
            if handle.join().is_err() {
                eprintln!("neap-workloads: a worker thread panicked");
                std::process::abort();
            }
        }
        stretch.end()
    })
}
