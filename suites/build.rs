//! rstest puts its cases under `cfg(test)`; the command holds the same cases as the tests.

fn main() {
    println!("cargo::rustc-cfg=test");
    println!("cargo::rerun-if-changed=build.rs");
}
