//! Rust source becomes syntax trees, which are walked, cloned and compared (syn).

use std::fmt::Write;

use neap_workloads::outcome::Outcome;
use neap_workloads::random::Random;
use neap_workloads::workload::Job;
use syn::visit::{self, Visit};

use crate::program::{self, Done};
use crate::text;

/// Files, all threads together, and functions in a file.
const FILES: usize = 48;
const FUNCTIONS: usize = 110;
const ROUNDS: usize = 3;

/// What the generator has written, and what the parser must find.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    functions: u64,
    structs: u64,
    calls: u64,
}

/// Writes source text and counts what it writes.
struct Author {
    random: Random,
    text: String,
    counts: Counts,
}

impl Author {
    fn put(&mut self, part: std::fmt::Arguments) {
        self.text.write_fmt(part).expect("writing to a string cannot fail");
    }

    fn name(&mut self) -> String {
        format!("{}_{}", text::word(self.random.below(3_000)), self.random.below(100))
    }

    fn expression(&mut self, depth: usize) {
        match if depth == 0 { self.random.below(2) } else { self.random.below(6) } {
            0 => {
                let number = self.random.below(10_000);
                self.put(format_args!("{number}u64"));
            }
            1 => {
                let name = self.name();
                self.put(format_args!("{name}"));
            }
            2 => {
                self.put(format_args!("("));
                self.expression(depth - 1);
                self.put(format_args!(" + "));
                self.expression(depth - 1);
                self.put(format_args!(")"));
            }
            3 => {
                let name = self.name();
                self.counts.calls += 1;
                self.put(format_args!("{name}("));
                for index in 0..self.random.below(4) {
                    if index > 0 {
                        self.put(format_args!(", "));
                    }
                    self.expression(depth - 1);
                }
                self.put(format_args!(")"));
            }
            4 => {
                self.put(format_args!("if "));
                self.expression(0);
                self.put(format_args!(" > 3 {{ "));
                self.expression(depth - 1);
                self.put(format_args!(" }} else {{ "));
                self.expression(depth - 1);
                self.put(format_args!(" }}"));
            }
            _ => {
                self.put(format_args!("["));
                for _ in 0..self.random.between(1, 5) {
                    self.expression(depth - 1);
                    self.put(format_args!(", "));
                }
                self.put(format_args!("]"));
            }
        }
    }

    fn function(&mut self) {
        let name = self.name();
        self.counts.functions += 1;
        self.put(format_args!(
            "/// {name} does what its name says.\npub fn {name}<T: Clone>(left: &[T], right: Option<T>) -> u64 {{\n"
        ));
        for index in 0..self.random.between(2, 7) {
            self.put(format_args!("    let value{index}: Vec<u64> = "));
            self.expression(4);
            self.put(format_args!(";\n"));
        }
        self.put(format_args!("    match left {{ [] => 0, [one, ..] => 1, _ => left.len() as u64 }}\n}}\n\n"));
    }

    fn structure(&mut self) {
        let name = self.name();
        self.counts.structs += 1;
        self.put(format_args!("#[derive(Clone, Debug)]\npub struct {name}<'a> {{\n"));
        for index in 0..self.random.between(1, 8) {
            let kind = self.name();
            self.put(format_args!("    pub field{index}: HashMap<String, Vec<&'a {kind}>>,\n"));
        }
        self.put(format_args!("}}\n\n"));
    }

    fn file(number: usize, functions: usize) -> (String, Counts) {
        let random = Random::new(8_000 + number as u64);
        let mut author = Author { random, text: String::new(), counts: Counts::default() };
        for index in 0..functions {
            if index % 5 == 0 {
                author.structure();
            }
            author.function();
        }
        (author.text, author.counts)
    }
}

impl<'ast> Visit<'ast> for Counts {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.functions += 1;
        visit::visit_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.structs += 1;
        visit::visit_item_struct(self, item);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        // `left.len()` is a method call and does not count.
        self.calls += 1;
        visit::visit_expr_call(self, call);
    }
}

/// One thread's share of the files.
fn work(files: &[(String, Counts)]) -> Done {
    let mut done = Done { ops: 0, checksum: 0 };
    for _ in 0..ROUNDS {
        let mut trees = Vec::new();
        for (source, counts) in files {
            let tree = syn::parse_file(source).expect("the source is valid");
            let mut found = Counts::default();
            found.visit_file(&tree);
            assert_eq!(found, *counts, "the parser found something else than what was written");
            done.ops += source.len() as u64;
            done.checksum = done.checksum.wrapping_mul(31).wrapping_add(found.calls);
            trees.push(tree);
        }
        for tree in trees.iter().step_by(4) {
            assert!(tree.clone() == *tree, "a clone differs");
        }
    }
    done.ops >>= 10;
    done
}

pub fn run(job: &Job) -> Outcome {
    let functions = job.scale.pick(FUNCTIONS, FUNCTIONS / 4, 4);
    let files = job.scale.pick(FILES, FILES, 2 * job.threads);
    let prepare = || (0..files).map(|number| Author::file(number, functions)).collect::<Vec<_>>();
    program::run(job, (), prepare, |(), files| {
        let share = files.len().div_ceil(job.threads);
        program::on_threads(job.threads, |index| work(files.chunks(share).nth(index).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found() {
        let files: Vec<_> = (0..3).map(|number| Author::file(number, 10)).collect();
        assert!(files.iter().all(|file| file.1.functions == 10 && file.1.structs == 2 && file.1.calls > 10));
        assert!(work(&files).checksum > 0);
    }
}
