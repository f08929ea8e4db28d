/work/main/benches/runner/target/compare-default/deps/neap_runner-7c8cf7464c468b07.d: src/main.rs src/global.rs

/work/main/benches/runner/target/compare-default/deps/neap_runner-7c8cf7464c468b07: src/main.rs src/global.rs

src/main.rs:
src/global.rs:
