//! HTML: one page that needs nothing but itself, whose cells open their evidence without a script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::record::{CaseResult, Recorded};

use super::compare::{Change, Index, differ, told};
use super::disputes::disputes;
use super::matrix::{Cell, Kind, LEGEND, Matrix, SideBySide, Tally};
use super::terminal::summary;
use super::text::{clean, one_line};
use super::{Catalogue, facts, labels, reason, skip_reasons, warnings};

const STYLE: &str = include_str!("style.css");

/// The report of these records.
pub fn render(records: &[Recorded], catalogue: &Catalogue) -> String {
    let labels = labels(records);
    let index = Index::of(records);
    let title = format!("userfaultfd conformance: {}", labels.join(", "));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "userfaultfd conformance" }
                @for (recorded, label) in records.iter().zip(&labels) {
                    @for warning in warnings(recorded) { p.attention { b { (label) ": " } (warning) } }
                }
                h2 { "Kernels" }
                @for (recorded, label) in records.iter().zip(&labels) { (kernel(recorded, label, records.len() == 1)) }
                h2 { "Matrix" }
                p { (LEGEND) " A cell opens its evidence." }
                @if let [recorded] = records { (one(recorded)) } @else { (many(records, &labels)) }
                (differences(&index, &labels, catalogue))
                (disagreements(&index, &labels, catalogue))
            }
        }
    };
    page.into_string()
}

fn kernel(recorded: &Recorded, label: &str, open: bool) -> Markup {
    html! {
        details open[open] {
            summary { b { (label) } ": " (summary(recorded)) }
            table.facts {
                @for (name, value) in facts(recorded) { tr { th scope="row" { (name) } td { (value) } } }
                @for skip in skip_reasons(recorded) {
                    tr { th scope="row" { (skip.cases) " not tried" } td { (skip.who()) ": " (skip.reason) } }
                }
            }
        }
    }
}

const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Conformant => "conformant",
        Kind::KernelLacks => "kernel-lacks",
        Kind::MachineLacks | Kind::Skipped => "machine-lacks",
        Kind::Known => "known",
        Kind::Broken => "broken",
        Kind::Error => "error",
    }
}

fn cell(cell: &Cell<'_>) -> Markup {
    let tally: Tally = cell.tally();
    html! {
        @if let Some(worst) = tally.worst() {
            td class=(class(worst)) {
                details { summary { (tally.short()) } ul { @for case in &cell.cases { (evidence(case)) } } }
            }
        } @else { td {} }
    }
}

fn evidence(case: &CaseResult) -> Markup {
    let kind = Kind::of(case);
    html! {
        li class=(class(kind)) {
            code { (one_line(&case.case)) } " " b { (kind.word()) }
            @if !case.statements.is_empty() { " " (one_line(&case.statements.join(", "))) }
            @if let Some(variant) = &case.variant { " seen: " (one_line(variant)) }
            @if matches!(kind, Kind::KernelLacks | Kind::MachineLacks | Kind::Skipped) { ": " (reason(case)) }
            @else if kind != Kind::Conformant || !case.log.is_empty() {
                pre {
                    (clean(case.reason.as_deref().unwrap_or("no reason given")))
                    @for line in &case.log { "\nkernel log: " (one_line(line)) }
                }
            }
        }
    }
}

fn one(recorded: &Recorded) -> Markup {
    let matrix = Matrix::of(recorded);
    let columns = matrix.columns();
    html! {
        table.matrix {
            thead { tr { th { "area" } th { "mode" } @for column in &columns { th { (column.name()) } } } }
            tbody {
                @for row in matrix.rows() {
                    tr {
                        th scope="row" { (row.area()) }
                        th scope="row" { (row.mode()) }
                        @for column in &columns {
                            @if let Some(found) = matrix.cell(row, *column) { (cell(found)) } @else { td {} }
                        }
                    }
                }
            }
        }
    }
}

fn many(records: &[Recorded], labels: &[String]) -> Markup {
    html! {
        p { "A row with ≠ differs between kernels." }
        table.matrix {
            thead {
                tr { th { "area" } th { "mode" } th { "memory" } th {} @for label in labels { th { (label) } } }
            }
            tbody {
                @for ((row, column), cells) in &SideBySide::of(records).rows {
                    tr {
                        th scope="row" { (row.area()) }
                        th scope="row" { (row.mode()) }
                        th scope="row" { (column.name()) }
                        td { @if differ(cells) { "≠" } }
                        @for found in cells { (cell(found)) }
                    }
                }
            }
        }
    }
}

fn differences(index: &Index<'_>, labels: &[String], catalogue: &Catalogue) -> Markup {
    let all = index.differences();
    let titles = [
        (Change::Behaviour, "Statements on which the kernels do not behave the same"),
        (Change::Offered, "Statements that not every kernel has the means for"),
    ];
    html! {
        @for (change, title) in titles {
            @if all.iter().any(|difference| difference.change == change) { h2 { (title) } }
            @for difference in all.iter().filter(|difference| difference.change == change) {
                p { b { (one_line(difference.statement)) } " " (one_line(catalogue.text(difference.statement).unwrap_or_default())) }
                @for group in &difference.groups {
                    table.facts {
                        @for (kernels, outcome) in told(group, labels) {
                            tr { th scope="row" { (kernels) } td { (outcome) } }
                        }
                    }
                    details {
                        summary { (group.cases.len()) " of its cases" }
                        ul { @for case in &group.cases { li { code { (one_line(case)) } } } }
                    }
                }
            }
        }
    }
}

fn disagreements(index: &Index<'_>, labels: &[String], catalogue: &Catalogue) -> Markup {
    let (disputes, unchecked) = disputes(index, catalogue);
    html! {
        @if !disputes.is_empty() || !unchecked.is_empty() { h2 { "Documents and kernels disagree" } }
        @for dispute in &disputes {
            h3 { (one_line(dispute.text)) }
            @for statement in &dispute.statements {
                p { b { (statement.id) } " (" (one_line(&statement.info.source)) "): " (one_line(&statement.info.text)) }
                table.facts {
                    @for (kernels, did) in statement.told(labels) { tr { th scope="row" { (kernels) } td { (did) } } }
                }
            }
        }
        @if !unchecked.is_empty() {
            p { "Disputed too, but not checked by these records: " (unchecked.join(", ")) }
        }
    }
}
