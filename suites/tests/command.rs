//! The command's contract: exit statuses, bad input, ordinary users, kernels without userfaultfd, nothing left behind.

mod common;

use std::collections::BTreeSet;
use std::process::Stdio;

use common::{command, in_user, out, run, without_userfaultfd};
use serde_json::Value;
use tempfile::TempDir;
// Cases register themselves only if the crate that holds them is linked.
use uffd_conformance as _;

/// A case that needs nothing but userfaultfd, and takes no time.
const QUICK: &str = "create::unknown_flags_are_refused::syscall";

fn entries(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn the_command_and_cargo_test_list_the_same_cases() {
    let list: BTreeSet<String> = entries(&out(command().args(["list", "--json"])))
        .iter()
        .map(|case| case["case"].as_str().unwrap().to_owned())
        .collect();
    let tests: BTreeSet<String> =
        uffd_harness::case::all().unwrap().into_iter().map(|case| case.declaration.name).collect();
    assert!(!list.is_empty());
    assert_eq!(list, tests);
}

#[test]
fn a_run_that_passes_exits_with_0_and_leaves_a_whole_record() {
    let scratch = TempDir::new().unwrap();
    let record = scratch.path().join("record.jsonl");
    let done = run(command().args(["run", QUICK, "--record"]).arg(&record));
    assert_eq!(done.status, 0, "{done:?}");
    let entries = entries(&std::fs::read_to_string(&record).unwrap());
    let types: Vec<&str> = entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["run", "start", "case", "end"]);
    assert_eq!(entries[2]["verdict"], "pass");
    assert_eq!(entries[3]["counts"]["pass"], 1);
    assert!(entries[0]["kernel"]["release"].is_string() && entries[0]["features"].is_array());
}

#[test]
fn every_format_says_the_same() {
    let json = entries(&out(command().args(["run", QUICK, "--format", "json"])));
    assert!(json.iter().any(|entry| entry["type"] == "case" && entry["case"] == QUICK));
    let ktap = out(command().args(["run", QUICK, "--format", "ktap"]));
    assert!(ktap.starts_with("KTAP version 1\n1..1\n") && ktap.contains(&format!("ok 1 - {QUICK}")), "{ktap}");
    let junit = out(command().args(["run", QUICK, "--format", "junit"]));
    assert!(junit.starts_with("<?xml") && junit.contains(QUICK), "{junit}");
    let terminal = out(command().args(["run", QUICK]));
    assert!(terminal.contains("1 conformant"), "{terminal}");
}

#[test]
fn an_unknown_filter_is_told_with_the_nearest_names() {
    let done = run(command().args(["run", "create::unknown_flags_are_refusd"]));
    assert_eq!(done.status, 2);
    assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    assert!(done.stderr.contains(QUICK), "{done:?}");
    assert_eq!(run(command().args(["explain", "COPY-5x"])).status, 2);
}

#[test]
fn wrong_arguments_exit_with_2() {
    for arguments in [
        &["run", "--jobs", "0"][..],
        &["run", "--time-limit", "0"],
        &["run", "--format", "yaml"],
        &["frobnicate"],
        &["report"],
        &[],
    ] {
        let done = run(command().args(arguments));
        assert_eq!(done.status, 2, "{arguments:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    }
}

#[test]
fn a_record_that_cannot_be_written_is_refused_before_the_first_case() {
    for path in ["/nonexistent/record", "/"] {
        let done = run(command().args(["run", QUICK, "--record", path]));
        assert_eq!((done.status, done.stdout.as_str()), (2, ""), "{path}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    }
    let done = run(command().args(["run", QUICK, "--format", "json", "--record", "/dev/full"]));
    assert_eq!((done.status, done.stdout.as_str()), (3, ""), "{done:?}");
    assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
}

#[test]
fn damaged_records_are_used_as_far_as_they_are_whole() {
    let scratch = TempDir::new().unwrap();
    let record = scratch.path().join("record.jsonl");
    run(command().args(["run", QUICK, "--record"]).arg(&record));
    let whole = std::fs::read_to_string(&record).unwrap();
    let cut: String = whole.split_inclusive('\n').take(2).collect::<String>() + "{\"type\":\"ca";
    std::fs::write(&record, cut).unwrap();
    let done = run(command().arg("report").arg(&record));
    assert_eq!(done.status, 0, "{done:?}");
    assert!(done.stderr.contains("line 3"), "{done:?}");
    assert!(done.stdout.contains("kernel or machine died") && done.stdout.contains(QUICK), "{done:?}");
    for foreign in ["", "<html>", "{\"type\":\"end\"}", "[1, 2]\n\u{0}"] {
        std::fs::write(&record, foreign).unwrap();
        let done = run(command().arg("report").arg(&record));
        assert_eq!(done.status, 2, "{foreign}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    }
    // A device without an end.
    let done = run(command().args(["report", "/dev/zero"]));
    assert_eq!(done.status, 2, "{done:?}");
    assert_eq!(done.stderr, "uffd-conformance: /dev/zero: a device, not a file\n");
}

#[test]
fn a_run_that_died_is_resumed_and_its_case_is_an_error() {
    let scratch = TempDir::new().unwrap();
    let record = scratch.path().join("record.jsonl");
    run(command().args(["run", "create", "--record"]).arg(&record));
    let whole = std::fs::read_to_string(&record).unwrap();
    // The first case has its verdict, the second one never gets it.
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    let starts: Vec<String> = lines.iter().filter(|line| line.contains("\"start\"")).cloned().collect();
    lines.retain(|line| line.contains("\"type\":\"run\""));
    lines.extend([starts[0].clone()]);
    std::fs::write(&record, lines.join("\n") + "\n{\"type\":\"st").unwrap();
    let log = scratch.path().join("console.log");
    std::fs::write(&log, "Kernel panic - not syncing\n").unwrap();
    let done = run(command().args(["run", "create", "--resume"]).arg(&record).arg("--resume-log").arg(&log));
    assert_eq!(done.status, 3, "{done:?}");
    let entries = entries(&std::fs::read_to_string(&record).unwrap());
    let died: Value = serde_json::from_str(&starts[0]).unwrap();
    let errors: Vec<&Value> = entries.iter().filter(|entry| entry["verdict"] == "error").collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["case"], died["case"]);
    assert_eq!(errors[0]["log"][0], "Kernel panic - not syncing");
    let verdicts = entries.iter().filter(|entry| entry["type"] == "case").count();
    assert_eq!(verdicts, starts.len());
    assert_eq!(entries.last().unwrap()["counts"]["error"], 1);
}

#[test]
fn coverage_and_explain_tell_what_is_checked() {
    let coverage: Value = serde_json::from_str(&out(command().args(["coverage", "--json"]))).unwrap();
    let statements = coverage["statements"].as_array().unwrap();
    assert!(statements.len() >= 516);
    let flags = statements.iter().find(|statement| statement["id"] == "CREATE-004").unwrap();
    assert_eq!(flags["class"], "promise");
    assert!(flags["cases"].as_array().unwrap().iter().any(|case| case == QUICK));
    assert!(flags["holes"].as_array().unwrap().is_empty() && flags["not_checkable"].is_null());
    assert!(out(command().args(["explain", "CREATE-004"])).contains(QUICK));
}

#[test]
fn output_that_nobody_reads_ends_quietly() {
    for arguments in [&["list"][..], &["probe"], &["run", QUICK], &["run", QUICK, "--format", "json"]] {
        let mut child = command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {done:?}");
        assert!(done.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn an_ordinary_user_is_told_what_to_do() {
    let Some((mut command, _scratch)) = in_user() else {
        eprintln!("not shown here: only root can become another user");
        return;
    };
    let done = run(command.args(["run", "--format", "json"]));
    assert!(done.status <= 1, "{done:?}");
    let entries = entries(&done.stdout);
    assert_eq!(entries[0]["kernel"]["machine"]["uid"], 65534);
    let skips: Vec<&str> = entries
        .iter()
        .filter(|entry| entry["verdict"] == "skip")
        .map(|entry| entry["reason"].as_str().unwrap())
        .collect();
    assert!(!skips.is_empty() && skips.iter().all(|reason| reason.contains(' ')));
    assert!(entries.iter().any(|entry| entry["verdict"] == "pass"));
    assert!(
        entries.iter().all(|entry| entry["verdict"] != "error"),
        "{:?}",
        entries.iter().find(|entry| entry["verdict"] == "error")
    );
}

#[test]
fn a_kernel_without_userfaultfd_is_one_line_and_status_3() {
    for (errno, word) in [(libc::ENOSYS, "ENOSYS"), (libc::EPERM, "EPERM")] {
        let Some((mut command, _scratch)) = without_userfaultfd(errno) else {
            eprintln!("not shown here: /dev/userfaultfd would still be open");
            return;
        };
        let done = run(command.args(["run", QUICK]));
        assert_eq!(done.status, 3, "{done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
        assert!(done.stderr.contains(word) && done.stdout.is_empty(), "{done:?}");
        let Some((mut command, _scratch)) = without_userfaultfd(errno) else { return };
        let probe = run(command.arg("probe"));
        assert_eq!(probe.status, 0, "{probe:?}");
        assert!(probe.stdout.contains(word), "{probe:?}");
    }
}

fn pool() -> u64 {
    let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The process that keeps the hugepages of the run `pid`, once it has said so in its name.
fn keeper_of(pid: u32) -> Option<i32> {
    procfs::process::all_processes()
        .ok()?
        .filter_map(|process| process.ok()?.stat().ok())
        .find_map(|stat| (stat.ppid == pid as i32 && stat.comm == "uffd-keeper").then_some(stat.pid))
}

#[test]
fn lent_hugepages_are_given_back_even_if_the_run_is_killed() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not shown here: only root can change the pool");
        return;
    }
    let before = pool();
    let mut run = command().args(["run", "--jobs", "1"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let keeper = loop {
        match keeper_of(run.id()) {
            Some(keeper) => break keeper,
            None if run.try_wait().unwrap().is_some() => panic!("the run ended before it was killed"),
            None => std::thread::yield_now(),
        }
    };
    run.kill().unwrap();
    run.wait().unwrap();
    // The keeper ends when it has given back what it lent.
    while procfs::process::Process::new(keeper).is_ok_and(|keeper| keeper.is_alive()) {
        std::thread::yield_now();
    }
    assert!(pool() <= before, "{} pages before the run, {} after it", before, pool());
}
