//! (12) A load like a parallel compiler's: threads take source files of very different length from a common list. From a
//! file come tokens, a tree of boxes, a symbol table (a part of it interned for all threads), intermediate code in chunks
//! that die together, and an output that lives until the end.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::outcome::Outcome;
use crate::random::Random;
use crate::threads;
use crate::workload::{Code, Counts, Job, Kind, PLAIN, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "compile",
    about: "a parallel compiler's load: tokens, trees, symbols, arena-style chunks, outputs kept to the end",
    operation: "KiB of source",
    variants: PLAIN,
    counts: Counts::Parallel,
    kind: Kind::Speed,
    code: Code::Here(run),
};

type Hasher = BuildHasherDefault<DefaultHasher>;

struct Token {
    kind: u8,
    start: u32,
    length: u32,
}

enum Node {
    Leaf(u32),
    Name(Box<str>),
    Call { name: Box<str>, arguments: Vec<Node> },
    Pair(Box<(Node, Node)>),
}

/// What all threads share: interned names, outputs.
struct Shared {
    names: [Mutex<HashSet<Box<str>, Hasher>>; 16],
    outputs: Mutex<Vec<Box<[u8]>>>,
}

fn source(random: &mut Random, bytes: usize) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        for _ in 0..random.between(2, 12) {
            text.push((b'a' + random.below(26) as u8) as char);
        }
        text.push(if random.below(4) == 0 { '(' } else { ' ' });
    }
    text
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte == b' ' || byte == b'(' {
            tokens.push(Token { kind: byte, start: start as u32, length: (at - start) as u32 });
            start = at + 1;
        }
    }
    tokens
}

/// Takes tokens from the front of `rest` and makes a node of them.
fn parse(text: &str, rest: &mut &[Token], depth: u32) -> Node {
    let Some((token, tail)) = rest.split_first() else { return Node::Leaf(0) };
    *rest = tail;
    let name = || text[token.start as usize..][..token.length as usize].into();
    match (token.kind, token.length % 4) {
        (b'(', _) if depth < 12 => {
            let mut arguments = Vec::new();
            for _ in 0..token.length % 5 {
                arguments.push(parse(text, rest, depth + 1));
            }
            Node::Call { name: name(), arguments }
        }
        (_, 0) => Node::Leaf(token.start),
        (_, 1) if depth < 12 => Node::Pair(Box::new((parse(text, rest, depth + 1), parse(text, rest, depth + 1)))),
        _ => Node::Name(name()),
    }
}

fn declare(node: &Node, symbols: &mut HashMap<String, u32, Hasher>, code: &mut Chunks) {
    match node {
        Node::Leaf(at) => code.push(u64::from(*at)),
        Node::Name(name) => {
            let next = symbols.len() as u32;
            let id = *symbols.entry(name.to_string()).or_insert(next);
            code.push(u64::from(id));
        }
        Node::Call { name, arguments } => {
            for argument in arguments {
                declare(argument, symbols, code);
            }
            code.push(name.len() as u64);
        }
        Node::Pair(pair) => {
            declare(&pair.0, symbols, code);
            declare(&pair.1, symbols, code);
        }
    }
}

/// Instructions in chunks of doubling size that are never moved and die together.
#[derive(Default)]
struct Chunks(Vec<Vec<u64>>);

impl Chunks {
    fn push(&mut self, word: u64) {
        if self.0.last().is_none_or(|chunk| chunk.len() == chunk.capacity()) {
            let words = (128usize << self.0.len()).min(16 << 10);
            self.0.push(Vec::with_capacity(words));
        }
        self.0.last_mut().expect("just pushed").push(word);
    }
}

fn compile(random: &mut Random, bytes: usize, shared: &Shared) {
    let text = source(random, bytes);
    let tokens = tokens(&text);
    let mut items = Vec::new();
    let mut rest = &tokens[..];
    while !rest.is_empty() {
        items.push(parse(&text, &mut rest, 0));
    }
    let mut symbols = HashMap::default();
    let mut code = Chunks::default();
    for item in &items {
        declare(item, &mut symbols, &mut code);
    }
    for (name, id) in &symbols {
        if id % 16 == 0 {
            let mut names = shared.names[*id as usize / 16 % 16].lock().expect("no thread panics here");
            if !names.contains(name.as_str()) {
                names.insert(name.as_str().into());
            }
        }
    }
    let mut output = Vec::new();
    for word in code.0.iter().flatten() {
        output.extend_from_slice(&word.to_le_bytes()[..2]);
    }
    let output = output.into_boxed_slice();
    shared.outputs.lock().expect("no thread panics here").push(output);
}

fn run(job: &Job) -> Outcome {
    let mut random = Random::new(12);
    let total = job.scale.of(12 << 20);
    let mut files = Vec::new();
    let mut sum = 0;
    while sum < total {
        let bytes = random.log_uniform(2 << 10, 512 << 10).min(total);
        files.push(bytes);
        sum += bytes;
    }
    let shared = Shared { names: Default::default(), outputs: Mutex::new(Vec::new()) };
    let next = AtomicUsize::new(0);
    let mut states = vec![(); job.threads];
    let measured = threads::run(&mut states, |_, ()| {
        while let Some(bytes) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            compile(&mut Random::new(*bytes as u64), *bytes, &shared);
        }
    });
    Outcome::new((sum >> 10).max(1) as u64, measured)
}
