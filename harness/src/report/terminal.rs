//! For a person at a terminal: the matrix, what is broken, and a run as it goes.

use std::fmt::Write as _;

use crate::case::Verdict;
use crate::record::{CaseResult, Entry, Recorded};

use super::compare::{Change, Difference, Index, differ, told};
use super::matrix::{Kind, LEGEND, Matrix, SideBySide, Tally};
use super::text::{clean, count, one_line, table, wrap};
use super::{Catalogue, facts, labels, skip_reasons, warnings, with_verdict};

/// Where running text is broken.
const WIDTH: usize = 110;

/// The matrix: of one record by memory type, of several side by side with the statements on which they differ.
pub fn matrix(records: &[Recorded], catalogue: &Catalogue) -> String {
    match records {
        [] => "no records\n".to_owned(),
        [recorded] => one(recorded),
        several => many(several, catalogue),
    }
}

/// The verdicts of a record in one line.
pub fn summary(recorded: &Recorded) -> String {
    let tally: Tally = recorded.cases.values().map(Kind::of).collect();
    let kinds = Kind::ALL.into_iter().filter(|kind| tally.of(*kind) > 0);
    let endings: Vec<String> = kinds
        .map(|kind| match (kind, tally.of(kind)) {
            (Kind::Error, cases) => count(cases, "error"),
            (kind, cases) => format!("{cases} {}", kind.word()),
        })
        .collect();
    let endings = if endings.is_empty() { "nothing was run".to_owned() } else { endings.join(", ") };
    format!("{}: {endings}", count(recorded.cases.len(), "case"))
}

fn attention(out: &mut String, recorded: &Recorded, prefix: &str) {
    for warning in warnings(recorded) {
        let _ = writeln!(out, "ATTENTION: {}", wrap(&format!("{prefix}{warning}"), 11, WIDTH));
    }
}

fn one(recorded: &Recorded) -> String {
    let mut out = String::new();
    for (name, value) in facts(recorded) {
        let _ = writeln!(out, "{name:<12}{}", wrap(&value, 12, WIDTH));
    }
    attention(&mut out, recorded, "");
    let matrix = Matrix::of(recorded);
    let columns = matrix.columns();
    let mut rows = vec![
        ["area", "mode"].into_iter().chain(columns.iter().map(|column| column.name())).map(str::to_owned).collect(),
    ];
    for row in matrix.rows() {
        let mut line = vec![row.area().to_owned(), row.mode().to_owned()];
        line.extend(columns.iter().map(|column| match matrix.cell(row, *column) {
            Some(cell) => cell.tally().short(),
            None => "·".to_owned(),
        }));
        rows.push(line);
    }
    let _ = write!(out, "\n{}\n{}\n", table(&rows), wrap(LEGEND, 0, WIDTH));
    let skips = skip_reasons(recorded);
    if !skips.is_empty() {
        out.push_str("\nNot tried:\n");
    }
    for skip in skips {
        let _ = writeln!(out, "  {:>5}  {}", skip.cases, wrap(&format!("{}: {}", skip.who(), skip.reason), 9, WIDTH));
    }
    let _ = writeln!(out, "\n{}", summary(recorded));
    out
}

fn many(records: &[Recorded], catalogue: &Catalogue) -> String {
    let labels = labels(records);
    let mut out = String::new();
    for (recorded, label) in records.iter().zip(&labels) {
        let _ = writeln!(out, "{label}: {}", summary(recorded));
        attention(&mut out, recorded, &format!("{label}: "));
    }
    let mut rows =
        vec![["area", "mode", "memory", ""].into_iter().map(str::to_owned).chain(labels.iter().cloned()).collect()];
    for ((row, column), cells) in SideBySide::of(records).rows {
        let mark = if differ(&cells) { "≠" } else { "" };
        let mut line = vec![row.area().to_owned(), row.mode().to_owned(), column.name().to_owned(), mark.to_owned()];
        line.extend(cells.iter().map(|cell| if cell.cases.is_empty() { "·".to_owned() } else { cell.tally().short() }));
        rows.push(line);
    }
    let _ = write!(out, "\n{}\n{} ≠: the kernels differ.\n", table(&rows), wrap(LEGEND, 0, WIDTH));
    out.push_str(&differences(records, catalogue));
    out
}

/// The statements whose outcome or variant differs between these records.
pub fn differences(records: &[Recorded], catalogue: &Catalogue) -> String {
    let labels = labels(records);
    let index = Index::of(records);
    let all = index.differences();
    let mut out = String::new();
    if all.is_empty() {
        return "\nNo statement's outcome differs between these kernels.\n".to_owned();
    }
    let of = |change: Change| all.iter().filter(move |difference| difference.change == change);
    for (change, title) in [
        (Change::Behaviour, "Statements on which these kernels do not behave the same"),
        (Change::Offered, "Statements that not every kernel has the means for"),
    ] {
        let number = of(change).count();
        if number > 0 {
            let _ = writeln!(out, "\n{title}: {number}");
        }
        of(change).for_each(|difference| out.push_str(&one_difference(difference, &labels, catalogue)));
    }
    out
}

fn one_difference(difference: &Difference<'_>, labels: &[String], catalogue: &Catalogue) -> String {
    let text = catalogue.text(difference.statement).unwrap_or_default();
    let mut out = format!("  {}\n", wrap(&one_line(&format!("{}  {text}", difference.statement)), 4, WIDTH));
    for group in &difference.groups {
        let _ = writeln!(out, "    {}", group.cases());
        for (kernels, outcome) in told(group, labels) {
            let _ = writeln!(out, "      {}", wrap(&format!("{kernels}: {outcome}"), 8, WIDTH));
        }
    }
    out
}

/// What went wrong in a run, with the evidence: broken promises, errors, known deviations.
pub fn failures(recorded: &Recorded) -> String {
    let mut out = String::new();
    for verdict in [Verdict::Fail, Verdict::Error, Verdict::Known] {
        with_verdict(recorded, verdict).for_each(|case| out.push_str(&failure(case)));
    }
    out
}

fn failure(case: &CaseResult) -> String {
    let statements =
        if case.statements.is_empty() { String::new() } else { format!(" ({})", case.statements.join(", ")) };
    let mut out = format!("{}: {}\n", Kind::of(case).word(), one_line(&format!("{}{statements}", case.case)));
    let mut line = |text: &str| {
        let _ = writeln!(out, "    {text}");
    };
    clean(case.reason.as_deref().unwrap_or("no reason given")).lines().for_each(&mut line);
    if let Some(variant) = &case.variant {
        line(&format!("seen: {}", one_line(variant)));
    }
    case.log.iter().for_each(|log| line(&format!("kernel log: {}", one_line(log))));
    out
}

/// A run as it goes: what is broken is told at once, the rest is counted.
#[derive(Debug, Default)]
pub struct Live {
    cases: usize,
    done: usize,
    wrong: usize,
}

impl Live {
    /// Before the first entry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text to print for this entry, often none.
    pub fn entry(&mut self, entry: &Entry) -> String {
        match entry {
            Entry::Run(run) => {
                self.cases = run.cases;
                one_line(&format!("{} on {}", count(run.cases, "case"), run.kernel.release)) + "\n"
            }
            Entry::Start(_) => String::new(),
            Entry::Case(case) => {
                self.done += 1;
                if matches!(case.verdict, Verdict::Pass | Verdict::Skip) {
                    return String::new();
                }
                self.wrong += usize::from(case.verdict != Verdict::Known);
                failure(case)
            }
            Entry::End(end) if end.interrupted => "interrupted\n".to_owned(),
            Entry::End(end) => {
                format!("{} in {}.{:03} s\n", count(self.done, "case"), end.millis / 1000, end.millis % 1000)
            }
        }
    }

    /// How far the run is, for a line that is overwritten.
    pub fn progress(&self) -> String {
        format!("{} of {}, {} broken or in error", self.done, count(self.cases, "case"), self.wrong)
    }
}
