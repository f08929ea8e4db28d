//! Threads insert, change, read and remove strings in one map (dashmap).

use std::fmt::Write;

use dashmap::DashMap;
use neap_workloads::outcome::Outcome;
use neap_workloads::random::Random;
use neap_workloads::workload::Job;

use crate::program::{self, Done};

/// Accesses, all threads together, and keys of a thread.
const ACCESSES: usize = 5_000_000;
const KEYS: usize = 150_000;

fn key(thread: usize, number: usize) -> String {
    format!("user/{thread}/object/{number:07}")
}

/// The text of a value: it names its version, and has a length of its own.
fn text(number: usize, version: u32) -> String {
    let mut text = format!("{version} ");
    let pieces = 1 + (number * 7 + version as usize * 13) % 24;
    for piece in 0..pieces {
        write!(text, "piece{piece};").expect("writing to a string cannot fail");
    }
    text
}

/// One thread's accesses. Its keys are its own, so it knows what it must find in the common map.
fn work(map: &DashMap<String, String>, thread: usize, accesses: usize, keys: usize) -> Done {
    let mut random = Random::new(10_000 + thread as u64);
    // The version of each key; zero is none.
    let mut versions = vec![0u32; keys];
    let mut done = Done { ops: accesses as u64, checksum: 0 };
    for _ in 0..accesses {
        let number = random.below(keys);
        let key = key(thread, number);
        let version = &mut versions[number];
        match random.below(8) {
            0 | 1 if *version == 0 => {
                *version = 1;
                assert!(map.insert(key, text(number, 1)).is_none());
            }
            2 if *version > 0 => {
                *version = 0;
                assert!(map.remove(&key).is_some());
            }
            3 | 4 if *version > 0 => {
                *version += 1;
                let mut entry = map.get_mut(&key).expect("the key is there");
                *entry = text(number, *version);
            }
            _ => {
                let found = map.get(&key);
                assert_eq!(found.is_some(), *version > 0, "{key}");
                if let Some(found) = found {
                    let named = found.split(' ').next().and_then(|word| word.parse().ok());
                    assert_eq!(named, Some(*version), "{key} has an old value");
                    done.checksum = done.checksum.wrapping_add(found.len() as u64);
                }
            }
        }
    }
    done.checksum = done.checksum.wrapping_add(versions.iter().filter(|version| **version > 0).count() as u64);
    done
}

pub fn run(job: &Job) -> Outcome {
    let accesses = job.scale.of(ACCESSES) / job.threads;
    let keys = job.scale.pick(KEYS, KEYS / 4, KEYS / 100);
    program::run(
        job,
        (),
        || (),
        |(), ()| {
            let map = DashMap::new();
            program::on_threads(job.threads, |index| work(&map, index, accesses, keys))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_inserted_last() {
        let map = DashMap::new();
        let done = work(&map, 3, 5_000, 100);
        assert!(map.iter().all(|entry| entry.key().starts_with("user/3/")));
        assert!(!map.is_empty() && map.len() <= 100 && done.checksum > 0);
    }
}
