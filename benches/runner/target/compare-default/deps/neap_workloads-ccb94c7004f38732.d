/work/main/benches/runner/target/compare-default/deps/neap_workloads-ccb94c7004f38732.d: /work/main/benches/workloads/src/lib.rs /work/main/benches/workloads/src/block.rs /work/main/benches/workloads/src/command_line.rs /work/main/benches/workloads/src/fast_path.rs /work/main/benches/workloads/src/measure/mod.rs /work/main/benches/workloads/src/measure/cpus.rs /work/main/benches/workloads/src/measure/histogram.rs /work/main/benches/workloads/src/measure/process.rs /work/main/benches/workloads/src/measure/raw.rs /work/main/benches/workloads/src/measure/usage.rs /work/main/benches/workloads/src/outcome.rs /work/main/benches/workloads/src/random.rs /work/main/benches/workloads/src/scale.rs /work/main/benches/workloads/src/sizes.rs /work/main/benches/workloads/src/threads.rs /work/main/benches/workloads/src/workloads/mod.rs /work/main/benches/workloads/src/workloads/burst.rs /work/main/benches/workloads/src/workloads/compile.rs /work/main/benches/workloads/src/workloads/large.rs /work/main/benches/workloads/src/workloads/pairs.rs /work/main/benches/workloads/src/workloads/phases.rs /work/main/benches/workloads/src/workloads/producer_consumer.rs /work/main/benches/workloads/src/workloads/replace.rs /work/main/benches/workloads/src/workloads/server.rs /work/main/benches/workloads/src/workloads/server/cache.rs /work/main/benches/workloads/src/workloads/server/graph.rs /work/main/benches/workloads/src/workloads/short_threads.rs /work/main/benches/workloads/src/workloads/trees.rs /work/main/benches/workloads/src/workloads/vectors.rs /work/main/benches/workloads/src/workloads/zeroed.rs

/work/main/benches/runner/target/compare-default/deps/libneap_workloads-ccb94c7004f38732.rlib: /work/main/benches/workloads/src/lib.rs /work/main/benches/workloads/src/block.rs /work/main/benches/workloads/src/command_line.rs /work/main/benches/workloads/src/fast_path.rs /work/main/benches/workloads/src/measure/mod.rs /work/main/benches/workloads/src/measure/cpus.rs /work/main/benches/workloads/src/measure/histogram.rs /work/main/benches/workloads/src/measure/process.rs /work/main/benches/workloads/src/measure/raw.rs /work/main/benches/workloads/src/measure/usage.rs /work/main/benches/workloads/src/outcome.rs /work/main/benches/workloads/src/random.rs /work/main/benches/workloads/src/scale.rs /work/main/benches/workloads/src/sizes.rs /work/main/benches/workloads/src/threads.rs /work/main/benches/workloads/src/workloads/mod.rs /work/main/benches/workloads/src/workloads/burst.rs /work/main/benches/workloads/src/workloads/compile.rs /work/main/benches/workloads/src/workloads/large.rs /work/main/benches/workloads/src/workloads/pairs.rs /work/main/benches/workloads/src/workloads/phases.rs /work/main/benches/workloads/src/workloads/producer_consumer.rs /work/main/benches/workloads/src/workloads/replace.rs /work/main/benches/workloads/src/workloads/server.rs /work/main/benches/workloads/src/workloads/server/cache.rs /work/main/benches/workloads/src/workloads/server/graph.rs /work/main/benches/workloads/src/workloads/short_threads.rs /work/main/benches/workloads/src/workloads/trees.rs /work/main/benches/workloads/src/workloads/vectors.rs /work/main/benches/workloads/src/workloads/zeroed.rs

/work/main/benches/runner/target/compare-default/deps/libneap_workloads-ccb94c7004f38732.rmeta: /work/main/benches/workloads/src/lib.rs /work/main/benches/workloads/src/block.rs /work/main/benches/workloads/src/command_line.rs /work/main/benches/workloads/src/fast_path.rs /work/main/benches/workloads/src/measure/mod.rs /work/main/benches/workloads/src/measure/cpus.rs /work/main/benches/workloads/src/measure/histogram.rs /work/main/benches/workloads/src/measure/process.rs /work/main/benches/workloads/src/measure/raw.rs /work/main/benches/workloads/src/measure/usage.rs /work/main/benches/workloads/src/outcome.rs /work/main/benches/workloads/src/random.rs /work/main/benches/workloads/src/scale.rs /work/main/benches/workloads/src/sizes.rs /work/main/benches/workloads/src/threads.rs /work/main/benches/workloads/src/workloads/mod.rs /work/main/benches/workloads/src/workloads/burst.rs /work/main/benches/workloads/src/workloads/compile.rs /work/main/benches/workloads/src/workloads/large.rs /work/main/benches/workloads/src/workloads/pairs.rs /work/main/benches/workloads/src/workloads/phases.rs /work/main/benches/workloads/src/workloads/producer_consumer.rs /work/main/benches/workloads/src/workloads/replace.rs /work/main/benches/workloads/src/workloads/server.rs /work/main/benches/workloads/src/workloads/server/cache.rs /work/main/benches/workloads/src/workloads/server/graph.rs /work/main/benches/workloads/src/workloads/short_threads.rs /work/main/benches/workloads/src/workloads/trees.rs /work/main/benches/workloads/src/workloads/vectors.rs /work/main/benches/workloads/src/workloads/zeroed.rs

/work/main/benches/workloads/src/lib.rs:
/work/main/benches/workloads/src/block.rs:
/work/main/benches/workloads/src/command_line.rs:
/work/main/benches/workloads/src/fast_path.rs:
/work/main/benches/workloads/src/measure/mod.rs:
/work/main/benches/workloads/src/measure/cpus.rs:
/work/main/benches/workloads/src/measure/histogram.rs:
/work/main/benches/workloads/src/measure/process.rs:
/work/main/benches/workloads/src/measure/raw.rs:
/work/main/benches/workloads/src/measure/usage.rs:
/work/main/benches/workloads/src/outcome.rs:
/work/main/benches/workloads/src/random.rs:
/work/main/benches/workloads/src/scale.rs:
/work/main/benches/workloads/src/sizes.rs:
/work/main/benches/workloads/src/threads.rs:
/work/main/benches/workloads/src/workloads/mod.rs:
/work/main/benches/workloads/src/workloads/burst.rs:
/work/main/benches/workloads/src/workloads/compile.rs:
/work/main/benches/workloads/src/workloads/large.rs:
/work/main/benches/workloads/src/workloads/pairs.rs:
/work/main/benches/workloads/src/workloads/phases.rs:
/work/main/benches/workloads/src/workloads/producer_consumer.rs:
/work/main/benches/workloads/src/workloads/replace.rs:
/work/main/benches/workloads/src/workloads/server.rs:
/work/main/benches/workloads/src/workloads/server/cache.rs:
/work/main/benches/workloads/src/workloads/server/graph.rs:
/work/main/benches/workloads/src/workloads/short_threads.rs:
/work/main/benches/workloads/src/workloads/trees.rs:
/work/main/benches/workloads/src/workloads/vectors.rs:
/work/main/benches/workloads/src/workloads/zeroed.rs:
