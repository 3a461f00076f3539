//! Markdown for mail, wikis and CI summaries: the matrix, what is broken, what differs, where documents are wrong.

use std::fmt::Write as _;

use crate::case::Verdict;
use crate::record::Recorded;

use super::compare::{Change, Index, differ, told};
use super::disputes::disputes;
use super::matrix::{LEGEND, Matrix, SideBySide};
use super::terminal::summary;
use super::text::{clean, one_line};
use super::{Catalogue, facts, labels, skip_reasons, warnings, with_verdict};

/// Text in which no character is Markdown or HTML.
fn escape(text: &str) -> String {
    let text: Vec<char> = one_line(text).chars().collect();
    let is_word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|beside| beside.is_alphanumeric());
    let mut out = String::new();
    for (at, character) in text.iter().enumerate() {
        let special = match character {
            '\\' | '`' | '*' | '|' | '[' | ']' | '#' | '~' | '$' => true,
            // Inside a word an underscore marks nothing up, and the kernel's names are full of them.
            '_' => !(is_word(at.checked_sub(1)) && is_word(Some(at + 1))),
            _ => false,
        };
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            other => {
                if special {
                    out.push('\\');
                }
                out.push(*other);
            }
        }
    }
    out
}

/// A name in a code span; in there nothing can be escaped, so what would end it is replaced.
fn code(text: &str) -> String {
    format!("`{}`", one_line(text).replace('`', "'").replace('|', "¦"))
}

fn table(out: &mut String, head: &[String], rows: &[Vec<String>]) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let _ = write!(out, "{}{}", line(head), line(&vec!["---".to_owned(); head.len()]));
    for row in rows {
        out.push_str(&line(row));
    }
    out.push('\n');
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.into_iter().map(escape).collect()
}

/// The report of these records.
pub fn render(records: &[Recorded], catalogue: &Catalogue) -> String {
    let labels = labels(records);
    let mut out = "# userfaultfd conformance\n\n".to_owned();
    for (recorded, label) in records.iter().zip(&labels) {
        for warning in warnings(recorded) {
            let _ = writeln!(out, "> **Attention:** {}: {}\n", escape(label), escape(&warning));
        }
    }
    kernels(&mut out, records, &labels);
    out.push_str("## Matrix\n\n");
    match records {
        [recorded] => one(&mut out, recorded),
        several => many(&mut out, several, &labels),
    }
    let _ = writeln!(out, "{}\n", escape(LEGEND));
    for (title, verdict) in
        [("Broken promises", Verdict::Fail), ("Errors", Verdict::Error), ("Known deviations", Verdict::Known)]
    {
        evidence(&mut out, title, verdict, records, &labels);
    }
    skips(&mut out, records, &labels);
    let index = Index::of(records);
    differences(&mut out, &index, &labels, catalogue);
    disagreements(&mut out, &index, &labels, catalogue);
    out
}

fn kernels(out: &mut String, records: &[Recorded], labels: &[String]) {
    out.push_str("## Kernels\n\n");
    for (recorded, label) in records.iter().zip(labels) {
        let _ = writeln!(out, "- **{}**: {}", escape(label), escape(&summary(recorded)));
        for (name, value) in facts(recorded) {
            let _ = writeln!(out, "  - {name}: {}", escape(&value));
        }
    }
    out.push('\n');
}

fn one(out: &mut String, recorded: &Recorded) {
    let matrix = Matrix::of(recorded);
    let columns = matrix.columns();
    let mut head = strings(["area", "mode"]);
    head.extend(columns.iter().map(|column| column.name().to_owned()));
    let rows: Vec<Vec<String>> = matrix
        .rows()
        .into_iter()
        .map(|row| {
            let mut line = strings([row.area(), row.mode()]);
            line.extend(
                columns
                    .iter()
                    .map(|column| matrix.cell(row, *column).map_or_else(String::new, |cell| cell.tally().short())),
            );
            line
        })
        .collect();
    table(out, &head, &rows);
}

fn many(out: &mut String, records: &[Recorded], labels: &[String]) {
    let mut head = strings(["area", "mode", "memory"]);
    head.extend(labels.iter().map(|label| escape(label)));
    let rows: Vec<Vec<String>> = SideBySide::of(records)
        .rows
        .into_iter()
        .map(|((row, column), cells)| {
            let mark = if differ(&cells) { "**" } else { "" };
            let mut line = strings([row.area(), row.mode(), column.name()]);
            line.extend(cells.iter().map(|cell| match cell.tally().short() {
                empty if empty.is_empty() => empty,
                short => format!("{mark}{short}{mark}"),
            }));
            line
        })
        .collect();
    table(out, &head, &rows);
    out.push_str("Bold: the kernels differ. ");
}

fn evidence(out: &mut String, title: &str, verdict: Verdict, records: &[Recorded], labels: &[String]) {
    if records.iter().all(|recorded| with_verdict(recorded, verdict).next().is_none()) {
        return;
    }
    let _ = writeln!(out, "## {title}\n");
    for (recorded, label) in records.iter().zip(labels) {
        for case in with_verdict(recorded, verdict) {
            let statements = escape(&case.statements.join(", "));
            let _ = writeln!(out, "- {}: {} {statements}\n", escape(label), code(&case.case));
            // An indented block keeps the evidence as it is, whatever characters it holds.
            let log = case.log.iter().map(|line| format!("kernel log: {}", one_line(line)));
            let reason = clean(case.reason.as_deref().unwrap_or("no reason given"));
            for line in reason.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).chain(log) {
                let _ = writeln!(out, "      {line}");
            }
            out.push('\n');
        }
    }
}

fn skips(out: &mut String, records: &[Recorded], labels: &[String]) {
    let mut rows = Vec::new();
    for (recorded, label) in records.iter().zip(labels) {
        for skip in skip_reasons(recorded) {
            rows.push(strings([label, &skip.cases.to_string(), skip.who(), &skip.reason]));
        }
    }
    if !rows.is_empty() {
        out.push_str("## Not tried\n\n");
        table(out, &strings(["kernel", "cases", "who", "what is missing"]), &rows);
    }
}

fn differences(out: &mut String, index: &Index<'_>, labels: &[String], catalogue: &Catalogue) {
    let all = index.differences();
    for (change, title) in [
        (Change::Behaviour, "Statements on which the kernels do not behave the same"),
        (Change::Offered, "Statements that not every kernel has the means for"),
    ] {
        if all.iter().any(|difference| difference.change == change) {
            let _ = writeln!(out, "## {title}\n");
        }
        for difference in all.iter().filter(|difference| difference.change == change) {
            let text = catalogue.text(difference.statement).unwrap_or_default();
            let _ = writeln!(out, "- **{}** {}", escape(difference.statement), escape(text));
            for group in &difference.groups {
                let told: Vec<String> = told(group, labels)
                    .into_iter()
                    .map(|(kernels, outcome)| format!("{}: {}", escape(&kernels), escape(&outcome)))
                    .collect();
                let _ = writeln!(out, "  - {} ({})", told.join("; "), escape(&group.cases()));
            }
        }
        out.push('\n');
    }
}

/// What can be sent to the maintainers of the documents as it stands.
fn disagreements(out: &mut String, index: &Index<'_>, labels: &[String], catalogue: &Catalogue) {
    let (disputes, unchecked) = disputes(index, catalogue);
    if disputes.is_empty() && unchecked.is_empty() {
        return;
    }
    out.push_str("## Documents and kernels disagree\n\n");
    for dispute in disputes {
        let _ = writeln!(out, "### {}\n", escape(dispute.text));
        for statement in dispute.statements {
            let (id, info) = (escape(statement.id), statement.info);
            let _ = writeln!(out, "**{id}** ({}): {}\n", escape(&info.source), escape(&info.text));
            let rows: Vec<Vec<String>> =
                statement.told(labels).iter().map(|(kernels, did)| strings([kernels, did])).collect();
            table(out, &strings(["kernel", "what it did"]), &rows);
        }
    }
    if !unchecked.is_empty() {
        let _ = writeln!(out, "Disputed too, but not checked by these records: {}\n", escape(&unchecked.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_no_markup() {
        assert_eq!(escape("a|b <i> *x* `y` [z] & _w"), "a\\|b &lt;i&gt; \\*x\\* \\`y\\` \\[z\\] &amp; \\_w");
        assert_eq!(escape("UFFDIO_COPY\nEAGAIN"), "UFFDIO_COPY; EAGAIN");
        assert_eq!(code("a`b|c"), "`a'b¦c`");
    }
}
