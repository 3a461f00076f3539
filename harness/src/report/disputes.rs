//! Where documents and kernels disagree: what a document says, and what each kernel did instead.

use std::collections::BTreeMap;

use super::compare::{Index, Outcome, together};
use super::matrix::Kind;
use super::text::count;
use super::{Catalogue, StatementInfo};

/// A passage of a document that kernels do not follow, with the statements that show it.
#[derive(Debug, Clone)]
pub struct Dispute<'a> {
    /// The document's section, what it says, what kernels do.
    pub text: &'a str,
    /// What kernels do, as statements that cases check.
    pub statements: Vec<Disputed<'a>>,
}

/// A statement that a document contradicts.
#[derive(Debug, Clone)]
pub struct Disputed<'a> {
    /// Its id.
    pub id: &'a str,
    /// The statement.
    pub info: &'a StatementInfo,
    /// What each record says of it.
    outcomes: Vec<BTreeMap<Outcome, usize>>,
}

impl Disputed<'_> {
    /// Who did what: `6.1, 6.12` and `as the statement says (4 cases)`.
    pub fn told(&self, labels: &[String]) -> Vec<(String, String)> {
        let told = together(&self.outcomes, labels).into_iter();
        told.map(|(first, same)| (same.join(", "), did(&self.outcomes[first]))).collect()
    }
}

fn did(outcomes: &BTreeMap<Outcome, usize>) -> String {
    if outcomes.is_empty() {
        return "not checked".to_owned();
    }
    let all = outcomes.iter().map(|(outcome, cases)| {
        let what = match outcome.kind {
            Kind::Conformant => "as the statement says",
            Kind::KernelLacks => "the kernel has no such thing",
            Kind::MachineLacks | Kind::Skipped => "not tried on this machine",
            Kind::Known => "a known deviation from the statement",
            Kind::Broken => "not as the statement says",
            Kind::Error => "the harness could not tell",
        };
        let variant = outcome.variant.as_ref().map_or_else(String::new, |variant| format!(": {variant}"));
        format!("{what}{variant} ({})", count(*cases, "case"))
    });
    all.collect::<Vec<_>>().join("; ")
}

/// The disputes on which the records have something to say, by document, and the ids of disputed statements that no
/// case of theirs checks.
pub fn disputes<'a>(index: &Index<'_>, catalogue: &'a Catalogue) -> (Vec<Dispute<'a>>, Vec<&'a str>) {
    let mut by_text: BTreeMap<&str, Vec<Disputed<'a>>> = BTreeMap::new();
    let mut unchecked = Vec::new();
    for (id, info) in &catalogue.statements {
        let Some(text) = info.disputed.as_deref() else { continue };
        match index.outcomes(id) {
            Some(outcomes) => by_text.entry(text).or_default().push(Disputed { id, info, outcomes }),
            None => unchecked.push(id.as_str()),
        }
    }
    (by_text.into_iter().map(|(text, statements)| Dispute { text, statements }).collect(), unchecked)
}
