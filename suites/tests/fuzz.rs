//! Any input: records, the lists of the catalogue, arguments. Nothing panics, and what is wrong is told in one line.

#[allow(dead_code, reason = "each test program uses its share of it")]
mod common;

use common::{command, run};
use proptest::prelude::*;
use uffd_conformance::{known, statements};
use uffd_harness::record::Recorded;
use uffd_harness::report::{Catalogue, html, json, junit, ktap, markdown, terminal};

/// A case that needs nothing but userfaultfd, and takes no time.
const QUICK: &str = "create::unknown_flags_are_refused::syscall";

/// What can become of a text on its way.
#[derive(Debug, Clone)]
enum Damage {
    /// It ends there.
    Cut(usize),
    /// One byte of it is another one.
    Flip(usize, u8),
    /// Something stands between.
    Insert(usize, String),
    /// A part is missing.
    Lose(usize, usize),
    /// A line stands there again.
    Repeat(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let foreign = prop_oneof![
        any::<String>(),
        Just("\n{\"type\":\"start\",\"case\":7}\n".to_owned()),
        Just("\n{\"type\":\"run\"}\n".to_owned()),
        Just("\n[[[[[[".repeat(200)),
        Just("\n{\"type\":\"end\",\"counts\":{\"pass\":1e99},\"millis\":-1}\n".to_owned()),
        Just("\u{feff}\u{0}\u{1b}[2J\r\n".to_owned()),
        Just("99999999999999999999".to_owned()),
    ];
    prop_oneof![
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        (any::<usize>(), foreign).prop_map(|(at, text)| Damage::Insert(at, text)),
        (any::<usize>(), 0..400_usize).prop_map(|(at, len)| Damage::Lose(at, len)),
        any::<usize>().prop_map(Damage::Repeat),
    ]
}

fn damaged(whole: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for damage in damages {
        let place = |at: usize| at % (bytes.len() + 1);
        match damage {
            Damage::Cut(at) => bytes.truncate(place(*at)),
            Damage::Flip(at, bits) => {
                let at = place(*at);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            Damage::Insert(at, text) => {
                let at = place(*at);
                bytes.splice(at..at, text.bytes());
            }
            Damage::Lose(at, len) => {
                let at = place(*at);
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Damage::Repeat(at) => {
                let lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                let again = if lines.is_empty() { Vec::new() } else { lines[at % lines.len()].clone() };
                bytes.extend(again);
            }
        }
    }
    bytes
}

/// The record of a run of a few cases, made once.
fn record() -> &'static [u8] {
    static RECORD: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    RECORD.get_or_init(|| {
        let done = run(command().args(["run", "--format", "json", "create::unknown_flags_are_refused", "poll::"]));
        assert_eq!(done.status, 0, "{done:?}");
        done.stdout.into_bytes()
    })
}

/// Every report of these records.
fn reports(records: &[Recorded]) {
    let catalogue = Catalogue::default();
    let _ = (terminal::matrix(records, &catalogue), html::render(records, &catalogue));
    let _ = (markdown::render(records, &catalogue), ktap::render(records));
    junit::render(records).expect("JUnit of any record");
    json::render(records, &catalogue).expect("JSON of any record");
    let _: Vec<String> = records.iter().map(terminal::failures).collect();
}

/// What arguments are made of; filters that choose many cases are not among them, because those would be run.
fn words() -> impl Strategy<Value = String> {
    let known = [
        "--json",
        "--record",
        "--format",
        "--jobs",
        "--time-limit",
        "--strict",
        "--resume",
        "--resume-log",
        "--html",
        "--markdown",
        "--junit",
        "--ktap",
        "--help",
        "--version",
        "-h",
        "-",
        "--",
        "--jobs=",
        "--jobs=0",
        "--jobs=-1",
        "--format=xml",
        "terminal",
        "ktap",
        "json",
        "junit",
        "0",
        "1",
        "65537",
        "18446744073709551616",
        "",
        "\u{1b}[2J",
        "nonexistent/record.jsonl",
        "/dev/full",
        "COPY-005",
        "COPY-9999",
        "**********",
        QUICK,
        "two\nlines\n",
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "[^/\u{0}]{8,20}",
        1 => "--?[a-zé]{1,9}(=[^/\u{0}]{0,9})?",
    ]
}

fn arguments() -> impl Strategy<Value = Vec<String>> {
    let first =
        proptest::sample::select(vec!["probe", "list", "run", "report", "coverage", "explain", "help", "x", "--"]);
    (first, proptest::collection::vec(words(), 0..6)).prop_map(|(first, mut rest)| {
        // Without any filter every case would be run.
        if first == "run" {
            rest.insert(0, QUICK.to_owned());
        }
        rest.insert(0, first.to_owned());
        rest
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_record_is_read_as_far_as_it_goes(damages in proptest::collection::vec(damage(), 1..5)) {
        match Recorded::parse(&damaged(record(), &damages)) {
            Ok(recorded) => reports(&[recorded.clone(), recorded]),
            Err(why) => prop_assert_eq!(why.lines().count(), 1, "{}", why),
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_not(bytes: Vec<u8>) {
        prop_assert!(Recorded::parse(&bytes).is_err());
    }

    #[test]
    fn damaged_lists_are_refused_or_read(damages in proptest::collection::vec(damage(), 1..4)) {
        let files = [include_str!("../known.toml"), include_str!("../statements/create.toml")];
        for file in files {
            let text = String::from_utf8_lossy(&damaged(file.as_bytes(), &damages)).into_owned();
            // An error names the place; what is read is of the right shape, for the types say so.
            for error in [known::parse(&text).err(), statements::parse(&text).err()].into_iter().flatten() {
                prop_assert!(!error.message().is_empty());
            }
        }
    }

    #[test]
    fn any_text_is_a_list_or_not(text: String) {
        let _ = (known::parse(&text), statements::parse(&text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_arguments_end_with_a_documented_status(arguments in arguments()) {
        let folder = tempfile::tempdir().expect("a folder");
        let done = run(command().current_dir(&folder).args(&arguments));
        prop_assert!((0..=3).contains(&done.status), "{:?}: {:?}", arguments, done);
        prop_assert!(!done.stderr.contains("panicked"), "{:?}: {:?}", arguments, done);
        if done.status >= 2 && done.stdout.is_empty() {
            prop_assert_eq!(done.stderr.trim_end().lines().count(), 1, "{:?}: {:?}", arguments, done);
        }
    }
}
