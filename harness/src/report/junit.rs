//! `JUnit` XML as CI servers read it: a test suite an area.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::case::Verdict;
use crate::record::{CaseResult, Recorded};
use crate::{Error, Result};

use super::matrix::Kind;
use super::text::{clean, one_line};
use super::{facts, is_incomplete, labels, reason, warnings};

fn property(name: &str, value: &str) -> Property {
    Property::new(name, one_line(value))
}

fn status(case: &CaseResult) -> TestCaseStatus {
    let reason = reason(case);
    let (mut status, message) = match case.verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail => (TestCaseStatus::non_success(NonSuccessKind::Failure), reason),
        Verdict::Error => (TestCaseStatus::non_success(NonSuccessKind::Error), reason),
        Verdict::Known => (TestCaseStatus::skipped(), format!("known deviation: {reason}")),
        Verdict::Skip => (TestCaseStatus::skipped(), format!("{}: {reason}", Kind::of(case).word())),
    };
    status.set_message(message);
    if matches!(case.verdict, Verdict::Fail | Verdict::Error) {
        status.set_type(case.verdict.word());
        status.set_description(clean(case.reason.as_deref().unwrap_or_default()));
    }
    status
}

fn test_case(case: &CaseResult, class: &str) -> TestCase {
    let mut test = TestCase::new(one_line(&case.case), status(case));
    test.set_classname(class).set_time(Duration::from_micros(case.micros));
    test.add_property(property("verdict", case.verdict.word()));
    test.add_property(property("statements", &case.statements.join(" ")));
    for axis in &case.axes.0 {
        test.add_property(property(&one_line(&format!("axis.{}", axis.axis)), &axis.value));
    }
    if let Some(variant) = &case.variant {
        test.add_property(property("variant", variant));
    }
    if !case.log.is_empty() {
        test.set_system_err(clean(&format!("kernel log:\n{}", case.log.join("\n"))));
    }
    test
}

/// What every suite of a record says of where it ran.
fn properties(recorded: &Recorded) -> Vec<Property> {
    let kernel = &recorded.run.kernel;
    let mut properties = vec![
        property("kernel.release", &kernel.release),
        property("kernel.version", &kernel.version),
        property("kernel.architecture", &kernel.architecture),
    ];
    properties.extend(facts(recorded).iter().map(|(name, value)| property(name, value)));
    properties.extend(warnings(recorded).iter().map(|warning| property("attention", warning)));
    properties
}

fn sum(micros: impl Iterator<Item = u64>) -> Duration {
    Duration::from_micros(micros.fold(0, u64::saturating_add))
}

fn suites(recorded: &Recorded, prefix: &str) -> Vec<TestSuite> {
    let mut areas: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for case in recorded.cases.values() {
        areas.entry(&case.area).or_default().push(case);
    }
    let mut suites = Vec::new();
    for (area, cases) in areas {
        let name = one_line(&format!("{prefix}{area}"));
        let mut suite = TestSuite::new(name.as_str());
        suite.set_time(sum(cases.iter().map(|case| case.micros)));
        suite.add_properties(properties(recorded));
        suite.add_test_cases(cases.into_iter().map(|case| test_case(case, &name)));
        suites.push(suite);
    }
    if is_incomplete(recorded) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(warnings(recorded).join("; ")).set_type("incomplete");
        let name = format!("{prefix}run");
        let mut test = TestCase::new("run::is_complete", status);
        test.set_classname(name.as_str());
        let mut suite = TestSuite::new(name.as_str());
        suite.add_properties(properties(recorded));
        suite.add_test_case(test);
        suites.push(suite);
    }
    suites
}

/// These records as one `JUnit` report; the suites of several are told apart by their kernel.
pub fn render(records: &[Recorded]) -> Result<String> {
    let mut report = Report::new("uffd-conformance");
    for (recorded, label) in records.iter().zip(labels(records)) {
        let prefix = if records.len() == 1 { String::new() } else { format!("{label}/") };
        report.add_test_suites(suites(recorded, &prefix));
    }
    report.set_time(sum(records.iter().flat_map(|recorded| recorded.cases.values().map(|case| case.micros))));
    report.to_string().map_err(|error| Error::Other(format!("JUnit: {error}")))
}
