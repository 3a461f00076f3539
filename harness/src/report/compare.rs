//! What differs between records: statements whose outcome or variant is not the same on every kernel.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::{CaseResult, Recorded};

use super::matrix::{Cell, Kind};
use super::text::{count, one_line};

/// What a record says of a case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Outcome {
    /// What became of it.
    pub kind: Kind,
    /// Which of the accepted outcomes was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Outcome {
    fn of(case: &CaseResult) -> Self {
        let variant = case.variant.as_deref().map(one_line).filter(|variant| !variant.is_empty());
        Self { kind: Kind::of(case), variant }
    }

    /// Whether it says anything about the kernel.
    const fn is_of_the_kernel(&self) -> bool {
        matches!(self.kind, Kind::Conformant | Kind::KernelLacks | Kind::Known | Kind::Broken)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.variant {
            Some(variant) => write!(out, "{}: {variant}", self.kind.word()),
            None => out.write_str(self.kind.word()),
        }
    }
}

/// In what way kernels differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Those that have it do the same, but not every kernel has it.
    Offered,
    /// Two kernels that have it do not do the same.
    Behaviour,
}

/// Cases of a statement that differ in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// The outcome in each record, in their order; nothing where the record lacks the cases.
    pub outcomes: Vec<Option<Outcome>>,
    /// The cases.
    pub cases: Vec<&'a str>,
}

impl Group<'_> {
    /// How many cases, and the first of them.
    pub fn cases(&self) -> String {
        let first = self.cases.first().map(|case| one_line(case)).unwrap_or_default();
        if self.cases.len() == 1 { first } else { format!("{}, such as {first}", count(self.cases.len(), "case")) }
    }
}

/// A statement on which records differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<'a> {
    /// Its id.
    pub statement: &'a str,
    /// The most that its cases show.
    pub change: Change,
    /// Its cases that differ.
    pub groups: Vec<Group<'a>>,
}

/// What every record says of every case, by statement.
#[derive(Debug, Clone)]
pub struct Index<'a> {
    records: usize,
    statements: BTreeMap<&'a str, BTreeMap<&'a str, Vec<Option<&'a CaseResult>>>>,
}

/// In what way these outcomes of one case differ, if they do.
fn change(outcomes: &[Option<Outcome>]) -> Option<Change> {
    let mut all: Vec<&Outcome> = outcomes.iter().flatten().filter(|outcome| outcome.is_of_the_kernel()).collect();
    all.sort();
    all.dedup();
    let tried = all.iter().filter(|outcome| outcome.kind != Kind::KernelLacks).count();
    match (all.len(), tried) {
        (0 | 1, _) | (_, 0) => None,
        (_, 1) => Some(Change::Offered),
        _ => Some(Change::Behaviour),
    }
}

impl<'a> Index<'a> {
    /// Of these records.
    pub fn of(records: &'a [Recorded]) -> Self {
        let mut statements: BTreeMap<&str, BTreeMap<&str, Vec<Option<&CaseResult>>>> = BTreeMap::new();
        for (at, recorded) in records.iter().enumerate() {
            for (name, case) in &recorded.cases {
                for statement in &case.statements {
                    let results = statements.entry(statement).or_default().entry(name).or_default();
                    results.resize(records.len(), None);
                    results[at] = Some(case);
                }
            }
        }
        Self { records: records.len(), statements }
    }

    /// The statements on which the records differ, changes of behaviour first.
    pub fn differences(&self) -> Vec<Difference<'a>> {
        let mut differences = Vec::new();
        for (statement, cases) in &self.statements {
            let mut groups: Vec<Group<'a>> = Vec::new();
            let mut most = None;
            for (name, results) in cases {
                let outcomes: Vec<Option<Outcome>> = results.iter().map(|case| case.map(Outcome::of)).collect();
                let Some(change) = change(&outcomes) else { continue };
                most = most.max(Some(change));
                match groups.iter_mut().find(|group| group.outcomes == outcomes) {
                    Some(group) => group.cases.push(name),
                    None => groups.push(Group { outcomes, cases: vec![name] }),
                }
            }
            if let Some(change) = most {
                differences.push(Difference { statement, change, groups });
            }
        }
        differences.sort_by_key(|difference| std::cmp::Reverse(difference.change));
        differences
    }

    /// What each record says of one statement: its outcomes with how many cases each; nothing if no case checks it.
    pub fn outcomes(&self, statement: &str) -> Option<Vec<BTreeMap<Outcome, usize>>> {
        let cases = self.statements.get(statement)?;
        let mut outcomes = vec![BTreeMap::new(); self.records];
        for results in cases.values() {
            for (told, case) in outcomes.iter_mut().zip(results) {
                if let Some(case) = case {
                    *told.entry(Outcome::of(case)).or_default() += 1;
                }
            }
        }
        Some(outcomes)
    }
}

/// Whether the kernels differ at one place of their matrices, given the cells there.
pub fn differ(cells: &[Cell<'_>]) -> bool {
    let mut cases: BTreeMap<&str, Vec<Option<Outcome>>> = BTreeMap::new();
    for (at, cell) in cells.iter().enumerate() {
        for case in &cell.cases {
            let outcomes = cases.entry(&case.case).or_default();
            outcomes.resize(cells.len(), None);
            outcomes[at] = Some(Outcome::of(case));
        }
    }
    cases.values().any(|outcomes| change(outcomes).is_some())
}

/// The labels of records that say the same, together: what they say and who says it, in the order of the records.
pub fn together<'l, T: PartialEq>(told: &[T], labels: &'l [String]) -> Vec<(usize, Vec<&'l str>)> {
    let mut groups: Vec<(usize, Vec<&str>)> = Vec::new();
    for (index, label) in labels.iter().enumerate().take(told.len()) {
        match groups.iter_mut().find(|(first, _)| told[*first] == told[index]) {
            Some((_, same)) => same.push(label),
            None => groups.push((index, vec![label])),
        }
    }
    groups
}

/// Who does what in one group of a difference: `6.1, 6.12` and `conformant: EBUSY`.
pub fn told(group: &Group<'_>, labels: &[String]) -> Vec<(String, String)> {
    together(&group.outcomes, labels)
        .into_iter()
        .map(|(first, same)| {
            let outcome = group.outcomes[first].as_ref().map_or_else(|| "no such case".to_owned(), ToString::to_string);
            (same.join(", "), outcome)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kind: Kind, variant: &str) -> Outcome {
        let variant = Some(variant.to_owned()).filter(|variant| !variant.is_empty());
        Outcome { kind, variant }
    }

    #[test]
    fn what_the_machine_lacks_is_no_difference_between_kernels() {
        assert_eq!(change(&[Some(outcome(Kind::Conformant, "")), Some(outcome(Kind::MachineLacks, "")), None]), None);
        assert_eq!(change(&[Some(outcome(Kind::Error, "")), Some(outcome(Kind::Conformant, ""))]), None);
    }

    #[test]
    fn a_missing_feature_is_told_from_another_behaviour() {
        let lacks = Some(outcome(Kind::KernelLacks, ""));
        assert_eq!(change(&[lacks.clone(), Some(outcome(Kind::Conformant, ""))]), Some(Change::Offered));
        assert_eq!(change(&[lacks.clone(), lacks]), None);
        assert_eq!(
            change(&[Some(outcome(Kind::Conformant, "EBUSY")), Some(outcome(Kind::Conformant, "kept"))]),
            Some(Change::Behaviour)
        );
        assert_eq!(
            change(&[Some(outcome(Kind::Broken, "")), Some(outcome(Kind::Conformant, ""))]),
            Some(Change::Behaviour)
        );
    }
}
