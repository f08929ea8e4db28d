//! The rows that the options ask for.

use neap_workloads::workload::Workload;
use neap_workloads::workloads;

use super::build::Content;
use super::options::{Options, Set};

/// One row of the tables: what one process of each allocator does.
#[derive(Clone, Copy)]
pub struct Row {
    /// The workload.
    pub workload: &'static Workload,
    /// The workload's variant, or empty.
    pub variant: &'static str,
    /// Worker threads.
    pub threads: usize,
}

impl Row {
    /// What the row's runner must hold.
    pub fn content(&self) -> Content {
        if self.workload.is_real() { Content::Real } else { Content::Loads }
    }

    /// Name, variant and threads.
    pub fn label(&self) -> String {
        let variant = if self.variant.is_empty() { String::new() } else { format!(" {}", self.variant) };
        format!("{}{variant} x{}", self.workload.name, self.threads)
    }
}

/// The rows that the options ask for.
pub fn rows(options: &Options, cores: usize) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for workload in &workloads::ALL {
        let is_wanted = match (options.workloads.is_empty(), options.set) {
            (false, _) => options.workloads.iter().any(|name| name == workload.name),
            (true, Set::All) => true,
            (true, Set::Loads) => !workload.is_real(),
            (true, Set::Real) => workload.is_real(),
        };
        if !is_wanted {
            continue;
        }
        let mut counts = workload.counts.on(cores);
        if !options.threads.is_empty() {
            counts.retain(|count| options.threads.iter().any(|wanted| usize::from(*wanted) == *count));
        }
        for (index, &variant) in workload.variants.iter().enumerate() {
            let wanted = match (options.variants.is_empty(), options.quick) {
                (false, _) => options.variants.iter().any(|name| name == variant),
                (true, true) => index < 2,
                (true, false) => true,
            };
            if wanted {
                rows.extend(counts.iter().map(|&threads| Row { workload, variant, threads }));
            }
        }
    }
    if rows.is_empty() {
        return Err("no row is left: no chosen workload has such a variant or runs on so many threads \
                    (thread counts are 1, one a core and four a core)"
            .into());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn labels(line: &str) -> Result<Vec<String>, String> {
        let options = Options::parse_from(std::iter::once("compare").chain(line.split_whitespace()));
        Ok(rows(&options, 2)?.iter().map(Row::label).collect())
    }

    #[test]
    fn rows_follow_the_options() {
        assert_eq!(labels("--workload replace").unwrap(), ["replace x1", "replace x2", "replace x8"]);
        assert_eq!(labels("--workload replace --threads 8").unwrap(), ["replace x8"]);
        assert_eq!(labels("--workload burst --quick").unwrap(), ["burst scattered x2", "burst clustered x2"]);
        assert_eq!(labels("--workload burst --variant all-freed").unwrap(), ["burst all-freed x2"]);
        assert!(labels("--workload replace --threads 3").unwrap_err().contains("no row is left"));
        assert!(labels("").unwrap().len() > 20);
    }

    #[test]
    fn real_code_is_asked_for() {
        let is_real = |label: &String| ["json", "http", "text-index"].iter().any(|name| label.starts_with(name));
        assert!(!labels("").unwrap().iter().any(is_real));
        assert!(labels("--set all").unwrap().iter().any(is_real));
        assert!(!labels("--set real").unwrap().iter().any(|label| label.starts_with("pairs")));
        assert_eq!(labels("--workload json,pairs --threads 1").unwrap(), ["pairs x1", "json x1"]);
    }
}
