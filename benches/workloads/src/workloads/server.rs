//! (7) A request server: threads parse a request, look its object graph up in a byte-capped LRU cache (or build it),
//! render a response, and hand it to a neighbour thread that drops it later. Every request is timed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::measure::histogram::Histogram;
use crate::outcome::Outcome;
use crate::parts::cache::Cache;
use crate::parts::graph::Value;
use crate::random::Random;
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "server",
    about: "requests against a byte-capped LRU cache of object graphs, responses handed between threads",
    operation: "request",
    variants: PLAIN,
    counts: Counts::Parallel,
    kind: Kind::Speed,
    code: Code::Here(run),
};

/// Different requests; small numbers are asked for more often.
const KEYS: usize = 20_000;
/// Bytes the cache may hold (of about 60 MiB that all graphs take).
const CACHE_BYTES: usize = 24 << 20;
/// Responses a mailbox holds before its owner must empty it.
const MAILBOX: usize = 64;

/// The result of a request. Another thread drops it.
struct Response {
    _text: String,
    _graph: Arc<Value>,
}

struct State {
    latencies: Histogram,
}

/// The header fields of a request.
fn parse(random: &mut Random) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for index in 0..random.between(4, 10) {
        fields.insert(format!("field-{index}"), "v".repeat(random.between(4, 80)));
    }
    fields
}

fn serve(random: &mut Random, cache: &Cache, mailboxes: &[Mutex<Vec<Response>>], me: usize) {
    let fields = parse(random);
    let skewed = random.unit() * random.unit() * random.unit();
    let key = (skewed * KEYS as f64) as u64;
    let graph = cache.get(key).unwrap_or_else(|| {
        let graph = Arc::new(Value::build(&mut Random::new(key), 4));
        cache.insert(key, Arc::clone(&graph), graph.bytes());
        graph
    });
    let mut text = String::new();
    for (name, value) in &fields {
        write!(text, "{name}: {value}\r\n").expect("writing to a string cannot fail");
    }
    graph.render(&mut text);
    let neighbour = (me + 1) % mailboxes.len();
    let response = Response { _text: text, _graph: graph };
    let full = {
        let mut mailbox = mailboxes[neighbour].lock().expect("no thread panics here");
        mailbox.push(response);
        // A neighbour without CPU time must not make the mailbox grow for ever.
        (mailbox.len() >= 4 * MAILBOX).then(|| std::mem::take(&mut *mailbox))
    };
    drop(full);
    let mine = {
        let mut mailbox = mailboxes[me].lock().expect("no thread panics here");
        (mailbox.len() >= MAILBOX).then(|| std::mem::replace(&mut *mailbox, Vec::with_capacity(MAILBOX)))
    };
    drop(mine);
    black_box(fields);
}

fn run(job: &Job) -> Outcome {
    let requests = (job.scale.of(24_000) / job.threads).max(1);
    let cache = Cache::new(CACHE_BYTES);
    let mailboxes: Vec<_> = (0..job.threads).map(|_| Mutex::new(Vec::new())).collect();
    let mut states: Vec<_> = (0..job.threads).map(|_| State { latencies: Histogram::new() }).collect();
    let measured = threads::run(&mut states, |index, state| {
        let mut random = Random::new(index as u64);
        for _ in 0..requests {
            let begun = Instant::now();
            serve(&mut random, &cache, &mailboxes, index);
            state.latencies.record(begun.elapsed().as_nanos() as u64);
        }
    });
    let mut all = Histogram::new();
    for state in &states {
        all.add(&state.latencies);
    }
    let mut outcome = Outcome::new((requests * job.threads) as u64, measured);
    outcome.latencies(&all);
    outcome
}
