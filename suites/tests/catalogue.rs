//! The catalogue, the known deviations and the cases fit each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use uffd_conformance::{known, statements};
use uffd_harness::case;

#[test]
fn every_statement_is_read_and_has_its_own_id() {
    let ids: BTreeSet<&str> = statements::all().iter().map(|statement| statement.id.as_str()).collect();
    assert_eq!(ids.len(), statements::all().len());
    assert!(ids.len() >= 516, "{} statements", ids.len());
    for statement in statements::all() {
        let (area, number) = statement.id.split_once('-').expect("an area and a number");
        assert!(area.chars().all(|c| c.is_ascii_uppercase()) && number.parse::<u32>().is_ok(), "{}", statement.id);
        assert!(!statement.cells().is_empty(), "{} applies nowhere", statement.id);
    }
}

#[test]
fn cases_name_only_statements_of_the_catalogue() {
    assert_eq!(statements::defects(&case::all().unwrap()), Vec::<String>::new());
}

#[test]
fn known_deviations_are_about_cases_and_statements_that_exist() {
    let cases = case::all().unwrap();
    for known in known::all() {
        assert!(statements::find(&known.statement).is_some(), "{} is no statement", known.statement);
        assert!(!known.kernels.is_empty() && !known.shows.is_empty(), "{}: without evidence", known.statement);
        let shown = cases.iter().any(|case| {
            known::matches(&known.cases, &case.declaration.name)
                && case.declaration.statements.contains(&known.statement.as_str())
        });
        assert!(shown, "no case '{}' checks {}", known.cases, known.statement);
    }
}

#[test]
fn a_star_stands_for_anything() {
    assert!(known::matches("copy::*::hugetlb*", "copy::a::hugetlb-memfd::missing"));
    assert!(known::matches("*::anon", "copy::a::anon"));
    assert!(known::matches("copy", "copy"));
    assert!(!known::matches("copy::*::anon", "copy::a::anon::missing"));
    assert!(!known::matches("copy", "copy::a"));
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A `#[test]`, or a `#[rstest]` that is not handed to `conformance!`, would be compiled and never run.
#[test]
fn no_case_is_dropped_silently() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 10);
    let mut functions = BTreeSet::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let place = format!("{}:{}", file.display(), index + 1);
            assert!(*line != "#[test]", "{place}: a #[test] in a library built for the command is never run");
            if *line == "#[rstest]" {
                let next = lines[index + 1..].iter().find(|line| !line.starts_with("#[case(")).unwrap_or(&"");
                assert!(
                    next.starts_with("#[test_attr("),
                    "{place}: #[rstest] without #[test_attr(registered(conformance))]"
                );
            }
            // A function that begins as a case does must have been registered.
            if line.starts_with("begin!(") {
                let name = lines[..index].iter().rev().find_map(|line| line.strip_prefix("fn ")).unwrap_or_default();
                functions.insert(name.split('(').next().unwrap_or_default().to_owned());
            }
        }
    }
    let registered: BTreeSet<String> = case::all()
        .unwrap()
        .iter()
        .filter_map(|case| case.declaration.name.split("::").nth(1).map(str::to_owned))
        .collect();
    let dropped: Vec<&String> = functions.difference(&registered).collect();
    assert!(dropped.is_empty(), "written but not registered: {dropped:?}");
}
