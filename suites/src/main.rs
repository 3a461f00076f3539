//! The command `uffd-conformance`.
use std::time::Duration;
use uffd_conformance as _;
use uffd_harness::{case, runner};
fn main() {
    uffd_harness::sys::hold_if_asked();
    let filters: Vec<String> = std::env::args().skip(1).collect();
    let mut cases = case::all().unwrap();
    cases.retain(|case| {
        filters.is_empty() || filters.iter().any(|filter| case.declaration.name.contains(filter.as_str()))
    });
    let options = runner::Options { jobs: 2, time_limit: Duration::from_secs(10), suite: "0".into(), resumed: false };
    let t = std::time::Instant::now();
    let r = runner::run(&cases, &options, &|_, _, _| None, &mut |entry| {
        println!("{}", serde_json::to_string(entry).unwrap());
        Ok(())
    });
    eprintln!("{r:?} {:?}", t.elapsed());
}
