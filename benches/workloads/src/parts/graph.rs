//! Object graphs as a server builds them: nested maps and lists of strings and numbers.

use std::fmt::Write;

use crate::random::Random;

/// A node.
pub enum Value {
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// Values in a row.
    List(Vec<Value>),
    /// Values with names.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A random graph, at most `depth` levels deep.
    pub fn build(random: &mut Random, depth: usize) -> Value {
        let leaf = depth == 0 || random.below(4) == 0 && depth < 4;
        match (leaf, random.below(2)) {
            (true, 0) => Value::Number(random.unit()),
            (true, _) => Value::Text("text ".repeat(1 + random.log_uniform(1, 60))),
            (false, 0) => {
                let mut list = Vec::new();
                for _ in 0..random.between(2, 6) {
                    list.push(Value::build(random, depth - 1));
                }
                Value::List(list)
            }
            (false, _) => {
                let mut map = Vec::new();
                for index in 0..random.between(2, 6) {
                    map.push((format!("key{index}"), Value::build(random, depth - 1)));
                }
                Value::Map(map)
            }
        }
    }

    /// Its size in memory, about.
    pub fn bytes(&self) -> usize {
        size_of::<Value>()
            + match self {
                Value::Number(_) => 0,
                Value::Text(text) => text.capacity(),
                Value::List(list) => list.iter().map(Value::bytes).sum(),
                Value::Map(map) => map.iter().map(|(key, value)| 24 + key.capacity() + value.bytes()).sum(),
            }
    }

    /// Appends it to `text`.
    pub fn render(&self, text: &mut String) {
        match self {
            Value::Number(number) => write!(text, "{number:.3}").expect("writing to a string cannot fail"),
            Value::Text(part) => {
                text.push('"');
                text.push_str(part);
                text.push('"');
            }
            Value::List(list) => {
                text.push('[');
                for value in list {
                    value.render(text);
                    text.push(',');
                }
                text.push(']');
            }
            Value::Map(map) => {
                text.push('{');
                for (key, value) in map {
                    text.push_str(key);
                    text.push(':');
                    value.render(text);
                    text.push(',');
                }
                text.push('}');
            }
        }
    }
}
