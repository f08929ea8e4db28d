//! Build script: tells the loom-tests package, which compiles this same source by path, to switch the locks and atomics to loom's.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_PKG_NAME").as_deref() == Ok("neap-loom-tests") {
        println!("cargo:rustc-cfg=loom");
    }
}
