//! What a workload found, and its JSON line.

use std::fmt::Write;

use crate::measure::histogram::Histogram;
use crate::measure::usage::Usage;

/// The figures of one run. Made after the measured part: it may allocate.
#[derive(Debug, Default)]
pub struct Outcome {
    fields: Vec<(&'static str, u64)>,
}

impl Outcome {
    /// The figures every workload has.
    pub fn new(ops: u64, (wall_ns, usage): (u64, Usage)) -> Self {
        let mut outcome = Outcome::default();
        outcome.set("ops", ops);
        outcome.set("wall_ns", wall_ns);
        outcome.usage(&usage);
        outcome
    }

    /// Adds one figure.
    pub fn set(&mut self, name: &'static str, value: u64) {
        debug_assert!(self.get(name).is_none(), "{name} twice");
        self.fields.push((name, value));
    }

    /// Adds the counters.
    fn usage(&mut self, usage: &Usage) {
        self.set("user_ns", usage.user_ns);
        self.set("system_ns", usage.system_ns);
        self.set("minor_faults", usage.minor_faults);
        self.set("major_faults", usage.major_faults);
        self.set("waits", usage.waits);
        self.set("preemptions", usage.preemptions);
    }

    /// Adds latencies.
    pub fn latencies(&mut self, histogram: &Histogram) {
        self.set("p50_ns", histogram.quantile(0.5));
        self.set("p99_ns", histogram.quantile(0.99));
        self.set("p999_ns", histogram.quantile(0.999));
        self.set("max_ns", histogram.max());
    }

    /// A figure by name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.fields.iter().find(|field| field.0 == name).map(|field| field.1)
    }

    /// One line of JSON: an object of whole numbers.
    pub fn to_json(&self) -> String {
        let mut line = String::from("{");
        for (index, (name, value)) in self.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(line, "{comma}\"{name}\":{value}").expect("writing to a string cannot fail");
        }
        line.push('}');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_json() {
        let mut outcome = Outcome::default();
        outcome.set("ops", 3);
        outcome.set("wall_ns", 12);
        assert_eq!(outcome.to_json(), r#"{"ops":3,"wall_ns":12}"#);
    }
}
