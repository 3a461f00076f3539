//! Choosing cases by name or statement.

use uffd_harness::case::Case;

use super::Usage;
use crate::{known, statements};

/// How many near names an unknown filter is answered with.
const NEAREST: usize = 5;

/// Whether the filter means this case: a part of its name, a pattern with `*`, or the id of a statement it checks.
fn means(filter: &str, case: &Case) -> bool {
    let name = &case.declaration.name;
    if filter.contains('*') {
        return known::matches(filter, name);
    }
    name.contains(filter) || case.declaration.statements.iter().any(|id| id.eq_ignore_ascii_case(filter))
}

/// The names most like the filter.
fn nearest(filter: &str, cases: &[Case]) -> Vec<String> {
    let mut names: Vec<String> = cases
        .iter()
        .flat_map(|case| {
            let name = &case.declaration.name;
            let mut parts = name.split("::");
            let area = parts.next().unwrap_or_default().to_owned();
            let short = format!("{area}::{}", parts.next().unwrap_or_default());
            let function = short.split("::").nth(1).unwrap_or_default().to_owned();
            [name.clone(), short, function, area]
        })
        .chain(statements::all().iter().map(|statement| statement.id.clone()))
        .collect();
    names.sort();
    names.dedup();
    names.sort_by(|a, b| {
        let near = |name: &String| strsim::jaro_winkler(&filter.to_lowercase(), &name.to_lowercase());
        near(b).total_cmp(&near(a))
    });
    names.truncate(NEAREST);
    names
}

/// The cases that any of the filters means; all of them if there is none.
pub(super) fn choose(cases: Vec<Case>, filters: &[String]) -> anyhow::Result<Vec<Case>> {
    for filter in filters {
        if !cases.iter().any(|case| means(filter, case)) {
            let known = statements::find(filter);
            let why = if known.is_some() { "no case checks" } else { "no case is called or checks" };
            return Err(Usage(format!(
                "{why} '{filter}'; the nearest names are: {} (see 'uffd-conformance list')",
                nearest(filter, &cases).join(", ")
            ))
            .into());
        }
    }
    Ok(cases
        .into_iter()
        .filter(|case| filters.is_empty() || filters.iter().any(|filter| means(filter, case)))
        .collect())
}
