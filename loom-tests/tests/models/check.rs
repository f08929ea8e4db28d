//! Running a model and its threads.

use loom::model::Builder;
use loom::thread::{self, JoinHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// No bound on preemptions: the model runs over every schedule.
pub const ALL: usize = 200;

/// Tries all schedules of a model with at most `preemptions` preemptions, and prints the number of executions.
///
/// `NEAP_MODELS_DEEPER=n` allows `n` more preemptions, for at most `NEAP_MODELS_SECONDS` (600) a model.
pub fn check(name: &str, preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
    let deeper = number("NEAP_MODELS_DEEPER");
    let mut builder = Builder::new();
    builder.max_branches = 50_000;
    let bound = preemptions + deeper.unwrap_or(0);
    builder.preemption_bound = (bound < ALL).then_some(bound);
    if deeper.is_some() {
        builder.max_duration = Some(Duration::from_secs(number("NEAP_MODELS_SECONDS").unwrap_or(600) as u64));
    }
    let executions = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let counted = Arc::clone(&executions);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        neap::internals::sys::fault::reset();
        model();
    });
    println!(
        "model {name}: {} executions, {} preemptions, {:.1} s",
        executions.load(Ordering::Relaxed),
        builder.preemption_bound.map_or("all".into(), |bound| bound.to_string()),
        start.elapsed().as_secs_f64()
    );
}

/// Starts another thread of the model. It does `work` on `shared`.
pub fn beside<S: 'static, T: 'static>(shared: &Arc<S>, work: impl FnOnce(&S) -> T + 'static) -> JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared))
}

/// A model that has the name of its test.
macro_rules! model {
    ($(#[$attribute:meta])* $name:ident, $preemptions:expr, $body:expr) => {
        #[test]
        $(#[$attribute])*
        fn $name() {
            crate::check::check(stringify!($name), $preemptions, $body);
        }
    };
}
pub(crate) use model;
