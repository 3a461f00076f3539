//! `coverage` and `explain`: statements and the cases that check them.

use serde_json::json;
use uffd_harness::case;

use super::{PASSED, Usage, print};
use crate::known;
use crate::statements::{self, Class, Coverage};

/// Prints which statements are checked.
pub(super) fn coverage(json: bool) -> anyhow::Result<u8> {
    let cases = case::all()?;
    let all: Vec<Coverage> = statements::all().iter().map(|statement| statement.coverage(&cases)).collect();
    if json {
        print(&format!("{}\n", json!({ "statements": all })))?;
        return Ok(PASSED);
    }
    let mut text = String::new();
    for (statement, coverage) in statements::all().iter().zip(&all) {
        let state = if let Some(reason) = &coverage.not_checkable {
            format!("not checkable here: {reason}")
        } else if coverage.cases.is_empty() {
            "not checked yet".to_owned()
        } else if coverage.holes.is_empty() {
            format!("checked by {} cases", coverage.cases.len())
        } else {
            let holes: Vec<String> = coverage
                .holes
                .iter()
                .map(|cell| {
                    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "any".to_owned());
                    format!("{}/{}", part(&cell.memory), part(&cell.mode))
                })
                .collect();
            format!("checked by {} cases, not on {}", coverage.cases.len(), holes.join(", "))
        };
        text += &format!("{:<12} {state}\n", statement.id);
    }
    let count = |what: fn(&Coverage) -> bool| all.iter().filter(|coverage| what(coverage)).count();
    text += &format!(
        "\n{} statements: {} checked wherever they apply, {} checked in part, {} not checkable here, {} not checked yet\n",
        all.len(),
        count(|coverage| coverage.not_checkable.is_none() && coverage.is_checked()),
        count(|coverage| coverage.not_checkable.is_none() && !coverage.cases.is_empty() && !coverage.holes.is_empty()),
        count(|coverage| coverage.not_checkable.is_some()),
        count(|coverage| coverage.not_checkable.is_none() && coverage.cases.is_empty()),
    );
    print(&text)?;
    Ok(PASSED)
}

/// Prints everything about one statement.
pub(super) fn explain(id: &str) -> anyhow::Result<u8> {
    let Some(statement) = statements::find(id) else {
        let mut near: Vec<&str> = statements::all().iter().map(|statement| statement.id.as_str()).collect();
        near.sort_by(|a, b| {
            let like = |other: &str| strsim::jaro_winkler(&id.to_uppercase(), other);
            like(b).total_cmp(&like(a))
        });
        return Err(Usage(format!("no statement is called '{id}'; the nearest are {}", near[..5].join(", "))).into());
    };
    let coverage = statement.coverage(&case::all()?);
    let list = |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
    let mut text = format!(
        "{}: {}\n  class:    {}\n  source:   {}\n  since:    {}\n  memory:   {}\n  modes:    {}\n  needs:    {}\n",
        statement.id,
        statement.statement,
        if statement.class == Class::Promise {
            "promise (a document states it)"
        } else {
            "observed (only the code states it)"
        },
        statement.source,
        statement.since,
        list(&statement.memory, "does not depend on it"),
        list(&statement.modes, "do not matter"),
        list(&statement.needs, "nothing special"),
    );
    let rows = [
        ("measured", (!statement.measured.is_empty()).then_some(&statement.measured)),
        ("disputed", statement.disputed.as_ref()),
        ("not checkable", statement.not_checkable.as_ref()),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            text += &format!("  {name}: {value}\n");
        }
    }
    text += &format!("  cases:    {}\n", if coverage.cases.is_empty() { "none yet" } else { "" });
    for case in &coverage.cases {
        text += &format!("    {case}\n");
    }
    for known in known::all().iter().filter(|known| known.statement == statement.id) {
        text +=
            &format!("  known deviation on {}: {} ({})\n", known.kernels.join(", "), known.happens, known.reference);
    }
    print(&text)?;
    Ok(PASSED)
}
