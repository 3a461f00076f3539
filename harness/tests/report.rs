//! Reports made from records: what they say, and that no record makes them panic.

use proptest::prelude::*;
use uffd_harness::case::{AxisValue, Verdict};
use uffd_harness::kernel::machine::Machine;
use uffd_harness::kernel::{Creation, Kernel, Ways};
use uffd_harness::need::Who;
use uffd_harness::record::{Axes, CaseResult, Counts, End, Entry, Recorded, Run, Start};
use uffd_harness::report::{Catalogue, StatementInfo, html, json, junit, ktap, markdown, terminal};

fn run(release: &str, cases: usize) -> Entry {
    let machine = Machine {
        initial_namespace: true,
        cpus: 2,
        memory_kib: 2 << 20,
        page_size: 4096,
        uid: 0,
        capabilities: vec!["CAP_SYS_PTRACE".to_owned()],
        unprivileged_userfaultfd: Some(0),
        procfs: true,
        thp: Some("madvise".to_owned()),
        pools: Vec::new(),
        tainted: Some(0),
    };
    let kernel = Kernel {
        release: release.to_owned(),
        version: "#1 SMP".to_owned(),
        architecture: "x86_64".to_owned(),
        creation: Some(Creation::Syscall),
        ways: Ways { syscall: None, user_mode_only: None, device: Some("ENOENT".to_owned()) },
        features: 0x1ff,
        ioctls: 0,
        handshake: None,
        machine,
    };
    Entry::Run(Box::new(Run {
        suite: "0.1.0".to_owned(),
        kernel,
        features: vec!["EVENT_FORK".to_owned(), "SIGBUS".to_owned()],
        cases,
        jobs: 2,
        time_limit: 10,
        resumed: false,
        cleaned: Vec::new(),
        unwatched: None,
    }))
}

fn case(name: &str, verdict: Verdict, reason: Option<&str>) -> CaseResult {
    let values: Vec<&str> = name.split("::").skip(2).collect();
    let axes = ["memory", "mode"].into_iter().zip(values);
    CaseResult {
        case: name.to_owned(),
        area: name.split("::").next().unwrap_or_default().to_owned(),
        axes: Axes(axes.map(|(axis, value)| AxisValue { axis: axis.to_owned(), value: value.to_owned() }).collect()),
        statements: vec!["COPY-001".to_owned()],
        verdict,
        reason: reason.map(str::to_owned),
        lacks: None,
        variant: None,
        micros: 250,
        log: Vec::new(),
    }
}

fn lines(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let lines = entries.into_iter().map(|entry| serde_json::to_string(&entry).expect("an entry is JSON") + "\n");
    lines.collect::<String>().into_bytes()
}

/// A record of these cases that came to its end.
fn whole(release: &str, cases: Vec<CaseResult>) -> Recorded {
    let mut entries = vec![run(release, cases.len())];
    entries.extend(cases.into_iter().map(|case| Entry::Case(Box::new(case))));
    entries.push(Entry::End(End { counts: Counts::default(), millis: 900, interrupted: false }));
    Recorded::parse(&lines(entries)).expect("a whole record")
}

fn mixed() -> Recorded {
    let lacks = |who, name, reason| CaseResult { lacks: Some(who), ..case(name, Verdict::Skip, Some(reason)) };
    whole(
        "6.18.15",
        vec![
            case("copy::whole::anon::missing", Verdict::Pass, None),
            case("copy::errors::anon::missing", Verdict::Fail, Some("copy=0, expected -EEXIST <&> \"quoted\"")),
            case("copy::whole::shmem-memfd::missing", Verdict::Pass, None),
            case("copy::whole::shmem-anon::missing", Verdict::Pass, None),
            case("copy::busy::shmem-anon::missing+wp", Verdict::Known, Some("B-30; seen: 0")),
            lacks(Who::Machine, "copy::whole::hugetlb::missing", "no hugepages: boot with hugepages=64"),
            lacks(
                Who::Kernel,
                "continue::whole::shmem-anon::minor",
                "the kernel does not offer UFFD_FEATURE_MINOR_SHMEM",
            ),
            CaseResult {
                log: vec!["BUG: \u{1b}[31mbad page".to_owned()],
                ..case("api::handshake", Verdict::Error, Some("lost <b>"))
            },
        ],
    )
}

/// A kernel that behaves otherwise, with one case fewer.
fn other() -> Recorded {
    let variant =
        CaseResult { variant: Some("EBUSY".to_owned()), ..case("copy::whole::anon::missing", Verdict::Pass, None) };
    whole("7.3.4", vec![variant, case("continue::whole::shmem-anon::minor", Verdict::Pass, None)])
}

fn died() -> Recorded {
    let entries = [
        run("7.3.4", 3),
        Entry::Case(Box::new(case("copy::whole::anon::missing", Verdict::Pass, None))),
        Entry::Start(Start { case: "copy::errors::shmem-anon::missing".to_owned() }),
    ];
    let mut bytes = lines(entries);
    bytes.extend_from_slice(b"[   12.5] Kernel panic - not syncing\n{\"type\":\"ca");
    Recorded::parse(&bytes).expect("a record that died")
}

fn catalogue() -> Catalogue {
    let statement = |disputed: Option<&str>| StatementInfo {
        text: "Copies | all".to_owned(),
        source: "MAN COPY".to_owned(),
        class: "observed".to_owned(),
        disputed: disputed.map(str::to_owned),
    };
    Catalogue {
        statements: [
            ("COPY-001".to_owned(), statement(Some("UFFDIO_COPY(2const) ERRORS lists no EEXIST"))),
            ("COPY-999".to_owned(), statement(Some("userfaultfd(2) says otherwise"))),
        ]
        .into(),
    }
}

/// The line of `text` that begins with these words, without its spacing.
fn line(text: &str, begins: &str) -> String {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("no line begins with {begins:?} in\n{text}"))
}

#[test]
fn the_matrix_has_a_row_for_each_area_and_mode() {
    let text = terminal::matrix(&[mixed()], &Catalogue::default());
    assert_eq!(line(&text, "area"), "area mode anon shmem hugetlb any");
    assert_eq!(line(&text, "copy missing "), "copy missing 1 ok 1 broken 2 machine lacks ·");
    assert_eq!(line(&text, "copy missing+wp"), "copy missing+wp · 1 known · ·");
    assert_eq!(line(&text, "continue"), "continue minor · kernel lacks · ·");
    assert_eq!(line(&text, "api"), "api – · · · 1 error");
    assert_eq!(line(&text, "1 machine"), "1 machine lacks: no hugepages: boot with hugepages=64");
    assert_eq!(
        line(&text, "8 cases"),
        "8 cases: 3 conformant, 1 broken, 1 known, 1 error, 1 kernel lacks, 1 machine lacks"
    );
    assert!(!text.contains("ATTENTION"), "{text}");
}

#[test]
fn failures_carry_their_evidence_and_no_escape_sequence() {
    let text = terminal::failures(&mixed());
    assert!(text.contains("broken: copy::errors::anon::missing (COPY-001)\n    copy=0, expected -EEXIST"), "{text}");
    assert!(text.contains("kernel log: BUG: \u{fffd}[31mbad page"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_run_that_died_is_said_by_every_format() {
    let records = [died()];
    let none = Catalogue::default();
    let text = terminal::matrix(&records, &none);
    assert!(line(&text, "ATTENTION: this run died").contains("died in copy::errors::shmem-anon::missing"), "{text}");
    assert!(text.contains("line 4 of the record") && text.contains("line 5 of the record"), "{text}");
    assert_eq!(line(&text, "copy missing"), "copy missing 1 1 error");
    for text in [
        terminal::failures(&records[0]),
        markdown::render(&records, &none),
        html::render(&records, &none),
        junit::render(&records).expect("JUnit"),
        json::render(&records, &none).expect("JSON"),
        ktap::render(&records),
    ] {
        assert!(text.contains("kernel or machine died here"), "{text}");
    }
    assert!(ktap::render(&records).contains("\nnot ok 2 - whole_run # ERROR this run died"));
    assert!(junit::render(&records).expect("JUnit").contains("run::is_complete"));
}

#[test]
fn kernels_stand_side_by_side_with_what_differs() {
    let records = [mixed(), other()];
    let text = terminal::matrix(&records, &catalogue());
    assert_eq!(line(&text, "area"), "area mode memory 6.18.15 7.3.4");
    assert_eq!(line(&text, "copy missing anon"), "copy missing anon ≠ 1 ok 1 broken 1");
    let behaviour = text.split("not behave the same").nth(1).expect("a list of differences");
    assert!(behaviour.contains("COPY-001 Copies | all"), "{text}");
    assert!(behaviour.contains("7.3.4: conformant: EBUSY") && behaviour.contains("6.18.15: kernel lacks"), "{text}");
}

#[test]
fn labels_tell_equal_kernels_apart() {
    let text = terminal::matrix(&[other(), other()], &Catalogue::default());
    assert_eq!(line(&text, "area"), "area mode memory 7.3.4 #1 7.3.4 #2");
}

#[test]
fn disputes_are_listed_with_what_each_kernel_did() {
    let text = markdown::render(&[mixed(), other()], &catalogue());
    let section = text.split("## Documents and kernels disagree").nth(1).expect("the section");
    assert!(section.contains("### UFFDIO_COPY(2const) ERRORS lists no EEXIST"), "{section}");
    assert!(section.contains("**COPY-001** (MAN COPY): Copies \\| all"), "{section}");
    assert!(line(section, "| 7.3.4").contains("as the statement says: EBUSY (1 case)"), "{section}");
    assert!(section.contains("not checked by these records: COPY-999"), "{section}");
}

#[test]
fn html_escapes_and_needs_nothing_else() {
    let text = html::render(&[mixed()], &catalogue());
    assert!(text.contains("lost &lt;b&gt;") && text.contains("-EEXIST &lt;&amp;&gt;"), "{text}");
    for foreign in ["<script", "http:", "https:", "src=", "@import", "url("] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    assert!(text.contains("<details><summary>1 ok 1 broken</summary>"), "{text}");
}

#[test]
fn junit_tells_failures_errors_skips_and_known_deviations_apart() {
    let text = junit::render(&[mixed()]).expect("JUnit");
    assert!(text.contains("<testsuite name=\"copy\" tests=\"6\" skipped=\"2\" errors=\"0\" failures=\"1\""), "{text}");
    assert!(text.contains("<skipped message=\"known deviation: B-30; seen: 0\"/>"), "{text}");
    assert!(text.contains("<skipped message=\"machine lacks: no hugepages: boot with hugepages=64\"/>"), "{text}");
    assert!(text.contains("<error message=\"lost &lt;b&gt;\""), "{text}");
    assert!(text.contains("name=\"kernel.release\" value=\"6.18.15\""), "{text}");
}

#[test]
fn json_holds_runs_matrix_and_differences() {
    let text = json::render(&[mixed(), other()], &catalogue()).expect("JSON");
    let value: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(value["runs"][0]["kernel"]["release"], "6.18.15");
    assert_eq!(value["runs"][0]["counts"]["pass"], 3);
    assert_eq!(value["runs"][1]["matrix"][0]["memory"], "shmem");
    assert_eq!(value["runs"][1]["matrix"][0]["counts"]["conformant"], 1);
    assert_eq!(value["differences"][0]["statement"], "COPY-001");
    assert_eq!(value["differences"][0]["change"], "behaviour");
}

#[test]
fn live_ktap_gives_the_plan_first() {
    let mut live = ktap::Live::new();
    assert!(live.entry(&run("7.3.4", 2)).starts_with("KTAP version 1\n1..2\n"));
    assert_eq!(live.entry(&Entry::Start(Start { case: "a::b".to_owned() })), "");
    assert_eq!(live.entry(&Entry::Case(Box::new(case("a::b", Verdict::Pass, None)))), "ok 1 - a::b\n");
    assert_eq!(
        live.entry(&Entry::Case(Box::new(case("a::c", Verdict::Fail, Some("no"))))),
        "#   no\nnot ok 2 - a::c\n"
    );
}

#[test]
fn live_terminal_tells_what_is_broken_at_once() {
    let mut live = terminal::Live::new();
    live.entry(&run("7.3.4", 2));
    assert_eq!(live.entry(&Entry::Case(Box::new(case("a::b", Verdict::Pass, None)))), "");
    assert!(live.entry(&Entry::Case(Box::new(case("a::c", Verdict::Fail, Some("no"))))).starts_with("broken: a::c"));
    assert_eq!(live.progress(), "2 of 2 cases, 1 broken or in error");
}

/// Makes every report there is.
fn report(records: &[Recorded]) {
    let catalogue = catalogue();
    terminal::matrix(records, &catalogue);
    for recorded in records {
        terminal::failures(recorded);
    }
    ktap::render(records);
    markdown::render(records, &catalogue);
    html::render(records, &catalogue);
    junit::render(records).expect("JUnit of any record");
    json::render(records, &catalogue).expect("JSON of any record");
}

#[test]
fn no_records_make_no_report_but_no_panic_either() {
    report(&[]);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z:+#|<&\\x00-\\x1f\u{fffe}]{0,12}",
        Just("copy::x::anon::missing+wp".to_owned()),
        Just("missing".to_owned()),
        Just("shmem-memfd".to_owned()),
    ]
}

fn any_case() -> impl Strategy<Value = CaseResult> {
    let verdict =
        prop::sample::select(vec![Verdict::Pass, Verdict::Fail, Verdict::Known, Verdict::Skip, Verdict::Error]);
    let who = prop::sample::select(vec![None, Some(Who::Kernel), Some(Who::Machine)]);
    let axes =
        prop::collection::vec((prop_oneof![Just("memory".to_owned()), Just("mode".to_owned()), text()], text()), 0..3);
    let statements = prop::collection::vec(prop_oneof![Just("COPY-001".to_owned()), text()], 0..3);
    let details =
        (prop::option::of(text()), prop::option::of(text()), any::<u64>(), prop::collection::vec(text(), 0..2));
    (text(), text(), axes, statements, verdict, who, details).prop_map(
        |(case, area, axes, statements, verdict, lacks, (reason, variant, micros, log))| CaseResult {
            case,
            area,
            axes: Axes(axes.into_iter().map(|(axis, value)| AxisValue { axis, value }).collect()),
            statements,
            verdict,
            reason,
            lacks,
            variant,
            micros,
            log,
        },
    )
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let counts = (any::<usize>(), any::<usize>()).prop_map(|(pass, fail)| Counts { pass, fail, ..Counts::default() });
    let end = (counts, any::<u64>(), any::<bool>());
    prop_oneof![
        1 => (text(), any::<usize>()).prop_map(|(release, cases)| run(&release, cases)),
        3 => text().prop_map(|case| Entry::Start(Start { case })),
        8 => any_case().prop_map(|case| Entry::Case(Box::new(case))),
        1 => end.prop_map(|(counts, millis, interrupted)| Entry::End(End { counts, millis, interrupted })),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Recorded::parse(&bytes);
    }

    #[test]
    fn any_record_makes_every_report(
        first in prop::collection::vec(any_entry(), 0..12),
        second in prop::collection::vec(any_entry(), 0..12),
    ) {
        let (mut terminal, mut ktap) = (terminal::Live::new(), ktap::Live::new());
        for entry in &first {
            terminal.entry(entry);
            ktap.entry(entry);
            terminal.progress();
        }
        let record = |entries: Vec<Entry>| Recorded::parse(&lines(std::iter::once(run("7.3.4", 4)).chain(entries)));
        report(&[record(first).expect("a record"), record(second).expect("a record")]);
    }

    #[test]
    fn a_damaged_record_is_used_as_far_as_it_is_whole(
        entries in prop::collection::vec(any_entry(), 0..8),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = lines(std::iter::once(run("7.3.4", 4)).chain(entries));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(recorded) = Recorded::parse(&bytes) {
            report(&[recorded]);
        }
    }
}
