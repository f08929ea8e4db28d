//! A request loop as servers have it: worker threads build short-lived object graphs, share a cache that evicts its
//! oldest entries, and hand finished replies to another thread, which frees them. Prints latencies as it goes.
//!
//! `cargo run --release --example request_loop [-- --threads 4 --seconds 5]`

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

/// A threaded request loop on neap that prints its latencies.
#[derive(Parser)]
struct Options {
    /// Worker threads.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// How long to run.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
}

/// What the shared cache may hold.
const CACHE_BYTES: usize = 32 << 20;

/// Entries by key, and the order in which they came. The cache drops its oldest entries when it exceeds its budget.
#[derive(Default)]
struct Cache {
    entries: HashMap<u64, String>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Cache {
    fn insert(&mut self, key: u64, value: String) {
        self.bytes += value.len();
        self.order.push_back(key);
        if let Some(old) = self.entries.insert(key, value) {
            self.bytes -= old.len();
        }
        while self.bytes > CACHE_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(old) = self.entries.remove(&oldest) {
                self.bytes -= old.len();
            }
        }
    }
}

/// A finished request. A worker allocated its parts; the receiving thread frees them.
struct Reply {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    took: Duration,
}

fn serve(random: &mut Random, cache: &Mutex<Cache>) -> Reply {
    let start = Instant::now();
    let headers = (0..8).map(|i| (format!("x-header-{i}"), "v".repeat(8 + random.below(120)))).collect();
    let key = random.below(50_000) as u64;
    let hit = cache.lock().unwrap().entries.get(&key).cloned();
    let value = hit.unwrap_or_else(|| {
        let value = "payload ".repeat(1 + random.below(400));
        cache.lock().unwrap().insert(key, value.clone());
        value
    });
    let mut body = Vec::new();
    for part in value.split(' ') {
        body.extend_from_slice(part.as_bytes());
        body.push(b'\n');
    }
    Reply { headers, body, took: start.elapsed() }
}

fn main() {
    let options = Options::parse();
    let cache = Mutex::new(Cache::default());
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::sync_channel::<Reply>(1024);

    println!("{} worker threads, {} seconds", options.threads, options.seconds);
    println!(
        "{:>5} {:>12} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "s", "requests/s", "p50", "p99", "p99.9", "max", "MiB/s sent"
    );
    thread::scope(|scope| {
        for worker in 0..options.threads {
            let (sender, cache, stop) = (sender.clone(), &cache, &stop);
            scope.spawn(move || {
                let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (u64::from(worker) + 1));
                while !stop.load(Ordering::Relaxed) {
                    if sender.send(serve(&mut random, cache)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);

        let start = Instant::now();
        let mut window = Window::default();
        let mut second = 1;
        while let Ok(reply) = receiver.recv() {
            window.add(&reply);
            drop(reply);
            if start.elapsed() >= Duration::from_secs(second) {
                window.print(second);
                window = Window::default();
                second += 1;
                if second > u64::from(options.seconds) {
                    stop.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        // Dropping the receiver wakes workers that wait for room in the channel.
        drop(receiver);
    });

    println!("\n{}", neap::stats());
}

/// The latencies of the current second.
#[derive(Default)]
struct Window {
    took: Vec<Duration>,
    bytes: usize,
}

impl Window {
    fn add(&mut self, reply: &Reply) {
        self.bytes +=
            reply.body.len() + reply.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.took.push(reply.took);
    }

    fn print(&mut self, second: u64) {
        self.took.sort_unstable();
        let at = |permille: usize| self.took[(self.took.len() - 1) * permille / 1000].as_nanos() as f64 / 1000.0;
        println!(
            "{second:>5} {:>12} {:>7.1} us {:>7.1} us {:>7.1} us {:>7.0} us {:>12.1}",
            self.took.len(),
            at(500),
            at(990),
            at(999),
            at(1000),
            self.bytes as f64 / (1024.0 * 1024.0)
        );
    }
}

/// xorshift64: the same requests in every run, without a dependency.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}
