//! Documents become values, values are changed and merged, and values become text again (serde_json).

use neap_workloads::outcome::Outcome;
use neap_workloads::random::Random;
use neap_workloads::workload::Job;
use serde_json::{Map, Number, Value};

use crate::program::{self, Done};
use crate::text;

/// Documents, all threads together, and rounds over them.
const DOCUMENTS: usize = 1_200;
const ROUNDS: usize = 8;

/// A random value, at most `depth` levels deep.
fn value(random: &mut Random, depth: usize) -> Value {
    let kind = if depth == 0 { random.below(4) } else { random.below(7) };
    match kind {
        0 => Value::Bool(random.below(2) == 0),
        1 => Value::Number(Number::from(random.below(1 << 20))),
        2 | 3 => {
            let words = 1 + random.log_uniform(1, 40);
            Value::String(text::sentence(random, words, 2_000))
        }
        4 => {
            let count = random.between(2, 12);
            Value::Array((0..count).map(|_| value(random, depth - 1)).collect())
        }
        _ => {
            let count = random.between(3, 12);
            let mut map = Map::new();
            for _ in 0..count {
                map.insert(text::word(random.below(400)), value(random, depth - 1));
            }
            Value::Object(map)
        }
    }
}

/// A document: always an object with a few values on top.
fn document(number: usize) -> Value {
    let mut random = Random::new(7_000 + number as u64);
    let mut map = Map::new();
    map.insert("number".into(), Value::from(number));
    for index in 0..6 {
        map.insert(format!("part{index}"), value(&mut random, 4));
    }
    Value::Object(map)
}

/// The sum of all whole numbers in a value, and how many values it consists of.
fn weigh(value: &Value) -> (u64, u64) {
    let sum =
        |all: &mut dyn Iterator<Item = &Value>| all.map(weigh).fold((0, 1), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    match value {
        Value::Number(number) => (number.as_u64().unwrap_or(0), 1),
        Value::Array(list) => sum(&mut list.iter()),
        Value::Object(map) => sum(&mut map.values()),
        _ => (0, 1),
    }
}

/// Changes a value in place: texts grow, every third entry of a list goes, objects get an entry more.
fn change(value: &mut Value) {
    match value {
        Value::String(text) => text.push_str(" and more"),
        Value::Array(list) => {
            let mut index = 0;
            list.retain(|_| {
                index += 1;
                index % 3 != 0
            });
            list.iter_mut().for_each(change);
        }
        Value::Object(map) => {
            map.values_mut().for_each(change);
            map.insert("changed".into(), Value::from(map.len()));
        }
        _ => {}
    }
}

/// One thread's share of the documents, round after round.
fn work(documents: &[(String, (u64, u64))]) -> Done {
    let mut done = Done { ops: 0, checksum: 0 };
    for round in 0..ROUNDS {
        let mut values = Vec::new();
        for (text, weight) in documents {
            let value: Value = serde_json::from_str(text).expect("the documents are valid");
            assert_eq!(weigh(&value), *weight, "a document was read wrongly");
            values.push(value);
            done.ops += text.len() as u64;
        }
        values.iter_mut().for_each(change);
        // Every second value goes into the one before, as settings are merged.
        let mut merged: Vec<Value> = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            match (index % 2, value, merged.last_mut()) {
                (1, Value::Object(map), Some(Value::Object(into))) => {
                    into.extend(map.into_iter().filter(|entry| !entry.0.ends_with('0')));
                }
                (_, value, _) => merged.push(value),
            }
        }
        let texts: Vec<String> = merged.iter().map(Value::to_string).collect();
        for (index, (value, text)) in merged.iter().zip(&texts).enumerate() {
            if index % 8 == round % 8 {
                let again: Value = serde_json::from_str(text).expect("serde_json reads what it wrote");
                assert!(again == *value, "a value came back changed");
            }
            done.checksum = done.checksum.wrapping_mul(31).wrapping_add(text.len() as u64);
        }
    }
    done.ops >>= 10;
    done
}

pub fn run(job: &Job) -> Outcome {
    let count = job.scale.of(DOCUMENTS).max(2 * job.threads);
    let prepare = || {
        let document = |number| {
            let value = document(number);
            (value.to_string(), weigh(&value))
        };
        (0..count).map(document).collect::<Vec<_>>()
    };
    program::run(job, (), prepare, |(), documents| {
        let share = documents.len().div_ceil(job.threads);
        let mut done =
            program::on_threads(job.threads, |index| work(documents.chunks(share).nth(index).unwrap_or_default()));
        done.ops = done.ops.max(1);
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_those_that_are_meant() {
        let mut value: Value = serde_json::from_str(r#"{"a":[1,2,3,4],"b":"x"}"#).unwrap();
        assert_eq!(weigh(&value), (10, 7));
        change(&mut value);
        assert_eq!(value.to_string(), r#"{"a":[1,2,4],"b":"x and more","changed":2}"#);
    }

    #[test]
    fn the_same_documents_give_the_same_checksum() {
        let documents: Vec<_> = (0..6).map(|number| (document(number).to_string(), weigh(&document(number)))).collect();
        let (one, other) = (work(&documents), work(&documents));
        assert_eq!((one.ops, one.checksum), (other.ops, other.checksum));
    }
}
