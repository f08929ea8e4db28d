//! Documents are indexed in memory, segments are merged, queries are answered (tantivy).

use neap_workloads::outcome::Outcome;
use neap_workloads::random::Random;
use neap_workloads::workload::Job;
use tantivy::collector::{Count, TopDocs};
use tantivy::query::TermQuery;
use tantivy::schema::{FAST, IndexRecordOption, STORED, Schema, TEXT};
use tantivy::{Index, TantivyDocument, Term};

use crate::program::{self, Done};
use crate::text;

const DOCUMENTS: usize = 24_000;
const VOCABULARY: usize = 20_000;
/// Documents between two commits: each commit makes segments, which are merged.
const COMMIT_EVERY: usize = 6_000;
/// Every how-manieth document has the mark of its number's rest.
const MARKS: usize = 97;
/// Memory of the writer, all threads together.
const WRITER_BYTES: usize = 64 << 20;

/// Title and body of a document.
fn document(number: usize) -> (String, String) {
    let mut random = Random::new(9_000 + number as u64);
    let title = text::sentence(&mut random, 5, VOCABULARY);
    let words = random.between(40, 160);
    let mut body = text::sentence(&mut random, words, VOCABULARY);
    body.push_str(&format!(" mark{}", number % MARKS));
    (title, body)
}

fn index(count: usize, threads: usize) -> tantivy::Result<Done> {
    let mut schema = Schema::builder();
    let title = schema.add_text_field("title", TEXT | STORED);
    let body = schema.add_text_field("body", TEXT);
    let number = schema.add_u64_field("number", FAST | STORED);
    let index = Index::create_in_ram(schema.build());
    let mut writer = index.writer_with_num_threads(threads, WRITER_BYTES)?;
    for at in 0..count {
        let (heading, text) = document(at);
        let mut one = TantivyDocument::default();
        one.add_text(title, heading);
        one.add_text(body, text);
        one.add_u64(number, at as u64);
        writer.add_document(one)?;
        if (at + 1) % COMMIT_EVERY == 0 {
            writer.commit()?;
        }
    }
    writer.commit()?;
    writer.wait_merging_threads()?;

    let searcher = index.reader()?.searcher();
    assert_eq!(searcher.num_docs(), count as u64);
    let mut checksum = 0u64;
    for mark in 0..MARKS {
        let query = TermQuery::new(Term::from_field_text(body, &format!("mark{mark}")), IndexRecordOption::Basic);
        let found = searcher.search(&query, &Count)?;
        let expected = (0..count).filter(|at| at % MARKS == mark).count();
        assert_eq!(found, expected, "documents with mark {mark}");
        checksum = checksum.wrapping_mul(31).wrapping_add(found as u64);
    }
    for word in 0..200 {
        let query = TermQuery::new(Term::from_field_text(body, &text::word(word)), IndexRecordOption::WithFreqs);
        let best = searcher.search(&query, &TopDocs::with_limit(20).order_by_score())?;
        for (_, address) in best {
            let _: TantivyDocument = searcher.doc(address)?;
            checksum = checksum.wrapping_add(1);
        }
    }
    Ok(Done { ops: count as u64, checksum })
}

pub fn run(job: &Job) -> Outcome {
    let count = job.scale.of(DOCUMENTS).max(4 * MARKS);
    program::run(job, (), || (), |(), ()| index(count, job.threads).expect("indexing in memory does not fail"))
}
