//! One JSON object for programs: runs with their cases and matrix, and what differs between them.

use serde::Serialize;

use crate::record::{CaseResult, Counts, End, Recorded, Run};
use crate::{Error, Result};

use super::compare::{Change, Difference, Index, Outcome};
use super::matrix::{Matrix, Tally};
use super::{Catalogue, is_incomplete, labels, warnings};

#[derive(Serialize)]
struct Document<'a> {
    runs: Vec<OneRun<'a>>,
    differences: Vec<OneDifference<'a>>,
}

#[derive(Serialize)]
struct OneRun<'a> {
    label: &'a str,
    #[serde(flatten)]
    run: &'a Run,
    complete: bool,
    warnings: Vec<String>,
    died_in: &'a [String],
    bad_lines: Vec<BadLine<'a>>,
    end: Option<&'a End>,
    counts: Counts,
    matrix: Vec<Place>,
    results: Vec<&'a CaseResult>,
}

#[derive(Serialize)]
struct BadLine<'a> {
    line: usize,
    why: &'a str,
}

#[derive(Serialize)]
struct Place {
    area: String,
    mode: String,
    memory: &'static str,
    counts: Tally,
}

#[derive(Serialize)]
struct OneDifference<'a> {
    statement: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    change: Change,
    groups: Vec<Group<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    cases: Vec<&'a str>,
    outcomes: Vec<Told<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    label: &'a str,
    outcome: Option<Outcome>,
}

fn one_run<'a>(recorded: &'a Recorded, label: &'a str) -> OneRun<'a> {
    let matrix = Matrix::of(recorded);
    let places = matrix.cells.iter().map(|((row, column), cell)| Place {
        area: row.area().to_owned(),
        mode: row.mode().to_owned(),
        memory: column.name(),
        counts: cell.tally(),
    });
    OneRun {
        label,
        run: &recorded.run,
        complete: !is_incomplete(recorded),
        warnings: warnings(recorded),
        died_in: &recorded.died_in,
        bad_lines: recorded.bad_lines.iter().map(|(line, why)| BadLine { line: *line, why }).collect(),
        end: recorded.end.as_ref(),
        counts: recorded.counts(),
        matrix: places.collect(),
        results: recorded.cases.values().collect(),
    }
}

fn one_difference<'a>(difference: Difference<'a>, labels: &'a [String], catalogue: &'a Catalogue) -> OneDifference<'a> {
    let groups = difference.groups.into_iter().map(|group| Group {
        cases: group.cases,
        outcomes: labels.iter().zip(group.outcomes).map(|(label, outcome)| Told { label, outcome }).collect(),
    });
    OneDifference {
        statement: difference.statement,
        text: catalogue.text(difference.statement),
        change: difference.change,
        groups: groups.collect(),
    }
}

/// These records as one object: `runs` (with `results` and `matrix`) and `differences`.
pub fn render(records: &[Recorded], catalogue: &Catalogue) -> Result<String> {
    let labels = labels(records);
    let differences = Index::of(records).differences();
    let document = Document {
        runs: records.iter().zip(&labels).map(|(recorded, label)| one_run(recorded, label)).collect(),
        differences: differences.into_iter().map(|found| one_difference(found, &labels, catalogue)).collect(),
    };
    let text = serde_json::to_string_pretty(&document).map_err(|error| Error::Other(format!("JSON: {error}")))?;
    Ok(text + "\n")
}
