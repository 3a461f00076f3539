//! KTAP, version 1, as `tools/testing/kunit/kunit.py parse` reads it: `Documentation/dev-tools/ktap.rst`.
//!
//! A known deviation is `ok .. # XFAIL`, as in the kernel's selftests. A whole record is nested by area; a run as it
//! goes is flat, for cases of two areas may run at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::case::Verdict;
use crate::record::{CaseResult, Entry, Recorded};

use super::text::{clean, one_line};
use super::{facts, is_incomplete, labels, reason, warnings};

/// A description cannot hold `#`, which begins the directive.
fn description(text: &str) -> String {
    let text = one_line(text).replace('#', "_");
    if text.is_empty() { "unnamed".to_owned() } else { text }
}

/// A hash sign in a directive's text could be taken for another directive.
fn data(text: &str) -> String {
    one_line(text).replace('#', "\\#")
}

/// Diagnostic lines; set in far enough that none is taken for a `# Subtest:` header.
fn diagnostics(out: &mut String, indent: &str, text: &str) {
    for line in clean(text).lines().filter(|line| !line.trim().is_empty()) {
        let _ = writeln!(out, "{indent}#   {}", line.trim_end());
    }
}

/// The result line of a case, after its diagnostic lines.
fn result(out: &mut String, indent: &str, number: usize, case: &CaseResult) {
    if let Some(variant) = &case.variant {
        diagnostics(out, indent, &format!("seen: {}", one_line(variant)));
    }
    if matches!(case.verdict, Verdict::Fail | Verdict::Error) {
        diagnostics(out, indent, case.reason.as_deref().unwrap_or("no reason given"));
    }
    for line in &case.log {
        diagnostics(out, indent, &format!("kernel log: {}", one_line(line)));
    }
    let (ok, directive) = match case.verdict {
        Verdict::Pass => ("ok", String::new()),
        Verdict::Fail => ("not ok", String::new()),
        Verdict::Known => ("ok", format!(" # XFAIL {}", data(&reason(case)))),
        Verdict::Skip => ("ok", format!(" # SKIP {}", data(&skipped(case)))),
        Verdict::Error => ("not ok", format!(" # ERROR {}", data(&reason(case)))),
    };
    let _ = writeln!(out, "{indent}{ok} {number} - {}{directive}", description(&case.case));
}

fn skipped(case: &CaseResult) -> String {
    let who = super::matrix::Kind::of(case).word();
    format!("{who}: {}", reason(case))
}

/// Results that stand together under one name.
#[derive(Default)]
struct Tests {
    text: String,
    number: usize,
    failed: bool,
    tried: bool,
}

impl Tests {
    fn case(&mut self, indent: &str, case: &CaseResult) {
        self.number += 1;
        self.failed |= matches!(case.verdict, Verdict::Fail | Verdict::Error);
        self.tried |= case.verdict != Verdict::Skip;
        result(&mut self.text, indent, self.number, case);
    }

    /// Puts `tests` under this level as one test with subtests.
    fn subtests(&mut self, indent: &str, name: &str, tests: &Tests) {
        let (name, inner) = (description(name), format!("{indent}  "));
        self.number += 1;
        self.failed |= tests.failed;
        self.tried |= tests.tried;
        let _ = write!(
            self.text,
            "{inner}KTAP version 1\n{inner}# Subtest: {name}\n{inner}1..{}\n{}",
            tests.number, tests.text
        );
        let ok = if tests.failed { "not ok" } else { "ok" };
        let directive = if tests.tried { "" } else { " # SKIP" };
        let _ = writeln!(self.text, "{indent}{ok} {} - {name}{directive}", self.number);
    }

    /// A failed test that says what is wrong with the run itself.
    fn run(&mut self, indent: &str, recorded: &Recorded) {
        let warnings = warnings(recorded);
        for warning in &warnings {
            diagnostics(&mut self.text, indent, warning);
        }
        if is_incomplete(recorded) {
            self.number += 1;
            (self.failed, self.tried) = (true, true);
            let why = warnings.first().map_or_else(String::new, |why| data(why));
            let _ = writeln!(self.text, "{indent}not ok {} - whole_run # ERROR {why}", self.number);
        }
    }
}

/// The tests of one record, an area each.
fn areas(recorded: &Recorded, indent: &str) -> Tests {
    let mut areas: BTreeMap<&str, Tests> = BTreeMap::new();
    let inner = format!("{indent}  ");
    for case in recorded.cases.values() {
        areas.entry(&case.area).or_default().case(&inner, case);
    }
    let mut tests = Tests::default();
    for (name, value) in facts(recorded) {
        let _ = writeln!(tests.text, "{indent}# {name}: {value}");
    }
    for (area, cases) in &areas {
        tests.subtests(indent, area, cases);
    }
    tests.run(indent, recorded);
    tests
}

/// Whole records: subtests by area, and above them by kernel if there are several.
pub fn render(records: &[Recorded]) -> String {
    let tests = match records {
        [recorded] => areas(recorded, ""),
        several => {
            let mut tests = Tests::default();
            for (recorded, label) in several.iter().zip(labels(several)) {
                tests.subtests("", &label, &areas(recorded, "  "));
            }
            tests
        }
    };
    format!("KTAP version 1\n1..{}\n{}", tests.number, tests.text)
}

/// A run as it goes.
#[derive(Debug, Default)]
pub struct Live {
    number: usize,
}

impl Live {
    /// Before the first entry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text to print for this entry; the plan comes with `run`.
    pub fn entry(&mut self, entry: &Entry) -> String {
        let mut out = String::new();
        match entry {
            Entry::Run(run) => {
                let _ = writeln!(out, "KTAP version 1\n1..{}", run.cases);
                diagnostics(&mut out, "", &one_line(&format!("kernel {} {}", run.kernel.release, run.kernel.version)));
            }
            Entry::Case(case) => {
                self.number += 1;
                result(&mut out, "", self.number, case);
            }
            Entry::End(end) if end.interrupted => diagnostics(&mut out, "", "interrupted by a signal"),
            Entry::Start(_) | Entry::End(_) => {}
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(verdict: Verdict, reason: &str) -> CaseResult {
        CaseResult { verdict, reason: Some(reason.to_owned()), ..crate::record::died("copy::whole::anon") }
    }

    fn line(case: &CaseResult) -> String {
        let mut out = String::new();
        result(&mut out, "  ", 3, case);
        out
    }

    #[test]
    fn a_skip_says_who_lacks_what() {
        let skip =
            CaseResult { lacks: Some(crate::need::Who::Machine), ..case(Verdict::Skip, "no hugepages\n# SKIP it") };
        assert_eq!(line(&skip), "  ok 3 - copy::whole::anon # SKIP machine lacks: no hugepages; \\# SKIP it\n");
    }

    #[test]
    fn a_failure_is_explained_before_its_line() {
        let fail = case(Verdict::Fail, "copy=0\nok 1 - not a result");
        assert_eq!(line(&fail), "  #   copy=0\n  #   ok 1 - not a result\n  not ok 3 - copy::whole::anon\n");
    }

    #[test]
    fn known_deviations_and_errors_have_directives() {
        assert_eq!(line(&case(Verdict::Known, "B-30")), "  ok 3 - copy::whole::anon # XFAIL B-30\n");
        let error = line(&case(Verdict::Error, crate::record::DIED));
        assert!(error.ends_with("not ok 3 - copy::whole::anon # ERROR kernel or machine died here\n"), "{error}");
    }
}
