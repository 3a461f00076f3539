//! What a case costs before it does anything: process, limit, verdict and record. Run by `scripts/bench`.

use std::time::{Duration, Instant};

use uffd_harness::Result;
use uffd_harness::case::Case;
use uffd_harness::record::{Entry, Writer};
use uffd_harness::runner::Session;

const CASES: usize = 2000;

fn main() -> Result<()> {
    let file = std::env::temp_dir().join(format!("uffd-overhead-{}.jsonl", std::process::id()));
    let mut record = Writer::create(&file)?;
    let cases: Vec<Case> = (0..CASES).map(|index| Case::named(&format!("bench::empty_{index}"), || Ok(()))).collect();
    let mut session = Session::begin(&[], 1)?;
    let mut begun = Instant::now();
    let mut took: Vec<Duration> = Vec::with_capacity(CASES);
    let ran = session.run(&cases, Duration::from_secs(10), &|_, _, _| None, &mut |entry| {
        record.write(entry)?;
        match entry {
            Entry::Case(_) => took.push(begun.elapsed()),
            _ => begun = Instant::now(),
        }
        Ok(())
    });
    let _ = std::fs::remove_file(&file);
    ran?;
    took.sort();
    println!(
        "an empty case: median {} us, 99th of 100 {} us, slowest {} us ({CASES} cases, one at a time)",
        took[CASES / 2].as_micros(),
        took[CASES * 99 / 100].as_micros(),
        took[CASES - 1].as_micros()
    );
    Ok(())
}
