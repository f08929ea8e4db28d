//! A least-recently-used cache with a cap in bytes, in shards with a lock each.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::graph::Value;

const SHARDS: usize = 16;
/// No neighbour in the list.
const END: u32 = u32::MAX;

struct Node {
    key: u64,
    newer: u32,
    older: u32,
    bytes: usize,
    value: Option<Arc<Value>>,
}

struct Shard {
    nodes: Vec<Node>,
    free: Vec<u32>,
    index: HashMap<u64, u32, BuildHasherDefault<DefaultHasher>>,
    newest: u32,
    oldest: u32,
    bytes: usize,
}

/// The cache.
pub struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes: AtomicUsize,
}

impl Shard {
    fn new() -> Self {
        Shard { nodes: Vec::new(), free: Vec::new(), index: HashMap::default(), newest: END, oldest: END, bytes: 0 }
    }

    fn unlink(&mut self, at: u32) {
        let (newer, older) = (self.nodes[at as usize].newer, self.nodes[at as usize].older);
        match newer {
            END => self.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            END => self.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let older = std::mem::replace(&mut self.newest, at);
        self.nodes[at as usize].newer = END;
        self.nodes[at as usize].older = older;
        match older {
            END => self.oldest = at,
            older => self.nodes[older as usize].newer = at,
        }
    }

    /// Takes the oldest entry out.
    fn evict(&mut self) -> Option<Arc<Value>> {
        let at = self.oldest;
        if at == END {
            return None;
        }
        self.unlink(at);
        self.free.push(at);
        let node = &mut self.nodes[at as usize];
        self.bytes -= node.bytes;
        self.index.remove(&node.key);
        node.value.take()
    }
}

impl Cache {
    /// A cache of at most `bytes`.
    pub fn new(bytes: usize) -> Self {
        Cache {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
            shard_bytes: AtomicUsize::new(bytes / SHARDS),
        }
    }

    /// Lets the cache hold at most `bytes` from now on. A smaller bound takes effect with the next values.
    pub fn set_bytes(&self, bytes: usize) {
        self.shard_bytes.store(bytes / SHARDS, Ordering::Relaxed);
    }

    fn shard(&self, key: u64) -> std::sync::MutexGuard<'_, Shard> {
        self.shards[key as usize % SHARDS].lock().expect("no thread panics here")
    }

    /// The value of `key`, which becomes the newest.
    pub fn get(&self, key: u64) -> Option<Arc<Value>> {
        let mut shard = self.shard(key);
        let at = *shard.index.get(&key)?;
        shard.unlink(at);
        shard.link_newest(at);
        shard.nodes[at as usize].value.clone()
    }

    /// Adds a value of that many bytes. Values that have to leave are dropped outside the lock.
    pub fn insert(&self, key: u64, value: Arc<Value>, bytes: usize) {
        let mut evicted = Vec::new();
        let mut shard = self.shard(key);
        if shard.index.contains_key(&key) {
            return;
        }
        while shard.bytes + bytes > self.shard_bytes.load(Ordering::Relaxed)
            && let Some(value) = shard.evict()
        {
            evicted.push(value);
        }
        let node = Node { key, newer: END, older: END, bytes, value: Some(value) };
        let at = match shard.free.pop() {
            Some(at) => {
                shard.nodes[at as usize] = node;
                at
            }
            None => {
                shard.nodes.push(node);
                shard.nodes.len() as u32 - 1
            }
        };
        shard.link_newest(at);
        shard.index.insert(key, at);
        shard.bytes += bytes;
        drop(shard);
        drop(evicted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let cache = Cache::new(SHARDS * 100);
        let key = |number: usize| (number * SHARDS) as u64;
        let value = || Arc::new(Value::Number(1.0));
        for number in 0..2 {
            cache.insert(key(number), value(), 40);
        }
        assert!(cache.get(key(0)).is_some());
        cache.insert(key(2), value(), 40);
        assert!(cache.get(key(1)).is_none(), "the one not used since");
        assert!(cache.get(key(0)).is_some() && cache.get(key(2)).is_some());
        assert_eq!(cache.shard(0).bytes, 80);
    }

    #[test]
    fn a_bound_that_moves_is_kept() {
        let cache = Cache::new(SHARDS * 100);
        let insert = |number: usize| cache.insert((number * SHARDS) as u64, Arc::new(Value::Number(1.0)), 40);
        (0..4).for_each(insert);
        assert_eq!(cache.shard(0).bytes, 80);
        cache.set_bytes(SHARDS * 200);
        (4..8).for_each(insert);
        assert_eq!(cache.shard(0).bytes, 200);
        cache.set_bytes(SHARDS * 100);
        insert(8);
        assert_eq!(cache.shard(0).bytes, 80);
    }
}
