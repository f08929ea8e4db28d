//! (3) Producer and consumer: one thread of each pair allocates, the other frees. Objects travel in batches through a
//! bounded queue, so that the cost of the queue is small for each object.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

use crate::block::Block;
use crate::measure::raw::Raw;
use crate::outcome::Outcome;
use crate::random::Random;
use crate::sizes::{MESSAGES, Sizes};
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "producer-consumer",
    about: "half of the threads allocate 16 B to 2 KiB, the other half free",
    operation: "object",
    variants: PLAIN,
    counts: Counts::Parallel,
    kind: Kind::Speed,
    code: Code::Here(run),
};

/// Objects that travel together.
const BATCH: usize = 256;
/// Batches between a producer and its consumer.
const DEPTH: usize = 16;

type Batch = Raw<Block>;

/// A queue of batches. Its capacity is never exceeded, so pushing never allocates.
struct Queue {
    batches: Mutex<VecDeque<Batch>>,
    filled: Condvar,
}

impl Queue {
    fn new(batches: impl Iterator<Item = Batch>) -> Self {
        let mut queue = VecDeque::with_capacity(DEPTH);
        queue.extend(batches);
        Queue { batches: Mutex::new(queue), filled: Condvar::new() }
    }

    fn push(&self, batch: Batch) {
        self.batches.lock().expect("no thread panics here").push_back(batch);
        self.filled.notify_one();
    }

    fn pop(&self) -> Batch {
        let mut batches = self.batches.lock().expect("no thread panics here");
        loop {
            if let Some(batch) = batches.pop_front() {
                return batch;
            }
            batches = self.filled.wait(batches).expect("no thread panics here");
        }
    }
}

fn run(job: &Job) -> Outcome {
    let sizes = Sizes::new(MESSAGES, 3);
    let pairs = (job.threads / 2).max(1);
    let batches = (job.scale.of(3_000_000) / BATCH / pairs).max(1);
    let queues: Vec<_> = (0..pairs)
        .map(|_| (Queue::new((0..DEPTH).map(|_| Batch::zeroed(BATCH))), Queue::new(std::iter::empty())))
        .collect();
    let mut states = vec![(); 2 * pairs];
    let measured = threads::run(&mut states, |index, ()| {
        let (empty, full) = &queues[index / 2];
        if index % 2 == 0 {
            let mut random = Random::new(index as u64);
            for _ in 0..batches {
                let mut batch = empty.pop();
                for object in batch.iter_mut() {
                    *object = Block::new(sizes.pick(random.bits()));
                }
                full.push(batch);
            }
        } else {
            for _ in 0..batches {
                let mut batch = full.pop();
                for object in batch.iter_mut() {
                    object.release();
                }
                empty.push(batch);
            }
        }
    });
    Outcome::new((BATCH * batches * pairs) as u64, measured)
}
