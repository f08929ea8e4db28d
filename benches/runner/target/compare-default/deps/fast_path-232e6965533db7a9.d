/work/main/benches/runner/target/compare-default/deps/fast_path-232e6965533db7a9.d: src/bin/fast_path.rs src/bin/../global.rs

/work/main/benches/runner/target/compare-default/deps/fast_path-232e6965533db7a9: src/bin/fast_path.rs src/bin/../global.rs

src/bin/fast_path.rs:
src/bin/../global.rs:
