//! Reports, one file a format, each made from [`Recorded`] runs alone: on this machine or another, now or later.
//!
//! A record may come from anywhere. Whatever it holds, a report of it is well-formed and nothing here panics.

pub mod compare;
pub mod disputes;
pub mod html;
pub mod json;
pub mod junit;
pub mod ktap;
pub mod markdown;
pub mod matrix;
pub mod terminal;
mod text;

use std::collections::BTreeMap;

use crate::case::Verdict;
use crate::kernel::Creation;
use crate::need::Who;
use crate::record::{CaseResult, Recorded};
use text::{count, one_line};

/// What reports say of statements beyond their ids; the suites fill it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// The statements by id.
    pub statements: BTreeMap<String, StatementInfo>,
}

/// One statement of the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementInfo {
    /// The statement itself.
    pub text: String,
    /// The document and section it comes from.
    pub source: String,
    /// `promise` or `observed`.
    pub class: String,
    /// Where a document says otherwise: its section, what it says, what kernels do.
    pub disputed: Option<String>,
}

impl Catalogue {
    fn text(&self, id: &str) -> Option<&str> {
        self.statements.get(id).map(|info| info.text.as_str())
    }
}

/// A name for each record, unlike every other: the kernel's release, with more of the machine where that is needed.
pub fn labels(records: &[Recorded]) -> Vec<String> {
    let release = |recorded: &Recorded| match one_line(&recorded.run.kernel.release) {
        release if release.is_empty() => "unknown kernel".to_owned(),
        release => release,
    };
    let ways: [fn(&Recorded) -> String; 3] = [
        |_| String::new(),
        |recorded| format!(" {}", one_line(&recorded.run.kernel.architecture)),
        |recorded| format!(" uid {}", recorded.run.kernel.machine.uid),
    ];
    for way in ways {
        let labels: Vec<String> = records.iter().map(|recorded| release(recorded) + &way(recorded)).collect();
        let mut unique = labels.clone();
        unique.sort();
        unique.dedup();
        if unique.len() == labels.len() {
            return labels;
        }
    }
    records.iter().enumerate().map(|(index, recorded)| format!("{} #{}", release(recorded), index + 1)).collect()
}

/// How many unusable lines a report names; a serial line full of other output has thousands.
const BAD_LINES: usize = 5;

/// What is wrong with a record as a whole, in words that no report may leave out.
pub fn warnings(recorded: &Recorded) -> Vec<String> {
    let mut warnings = Vec::new();
    let done = recorded.cases.len() - recorded.died_in.len().min(recorded.cases.len());
    let verdicts = format!("{done} of {} have a verdict", count(recorded.run.cases, "case"));
    match &recorded.end {
        None if recorded.died_in.is_empty() => {
            warnings.push(format!("this run died between two cases: its record has no end; {verdicts}"));
        }
        None => warnings.push(format!(
            "this run died: its record has no end; kernel or machine died in {}; {verdicts}",
            recorded.died_in.iter().map(|case| one_line(case)).collect::<Vec<_>>().join(", ")
        )),
        Some(end) if end.interrupted => warnings.push(format!("this run was interrupted by a signal; {verdicts}")),
        Some(_) if done < recorded.run.cases => warnings.push(format!("this run is not complete: {verdicts}")),
        Some(_) => {}
    }
    for (line, why) in recorded.bad_lines.iter().take(BAD_LINES) {
        warnings.push(format!("line {line} of the record cannot be used: {}", one_line(why)));
    }
    if let more @ 1.. = recorded.bad_lines.len().saturating_sub(BAD_LINES) {
        warnings.push(format!("{} more of the record cannot be used", count(more, "line")));
    }
    warnings
}

/// Whether cases that were chosen have no verdict.
fn is_incomplete(recorded: &Recorded) -> bool {
    recorded.end.as_ref().is_none_or(|end| end.interrupted) || recorded.cases.len() < recorded.run.cases
}

/// What ran where, as names and values in the order of a header.
pub fn facts(recorded: &Recorded) -> Vec<(&'static str, String)> {
    let run = &recorded.run;
    let (kernel, machine) = (&run.kernel, &run.kernel.machine);
    let list = |words: &[String]| if words.is_empty() { "none".to_owned() } else { one_line(&words.join(" ")) };
    let creation = match kernel.creation {
        Some(Creation::Syscall) => "userfaultfd(2), faults of the kernel's own accesses included",
        Some(Creation::Device) => "/dev/userfaultfd, faults of the kernel's own accesses included",
        Some(Creation::UserModeOnly) => "userfaultfd(UFFD_USER_MODE_ONLY): only faults from user mode",
        None => "none can be made",
    };
    let pools: Vec<String> = machine
        .pools
        .iter()
        .map(|pool| format!("{} KiB: {} of {} free", pool.size_kib, pool.free, pool.total))
        .collect();
    let wall = recorded.end.as_ref().map_or_else(String::new, |end| format!(", {} ms in all", end.millis));
    let mut facts = vec![
        ("kernel", one_line(&format!("{} {} {}", kernel.release, kernel.architecture, kernel.version))),
        ("suite", one_line(&run.suite)),
        (
            "machine",
            format!(
                "{}, {} MiB, pages of {} bytes, uid {}",
                count(machine.cpus, "CPU"),
                machine.memory_kib / 1024,
                machine.page_size,
                machine.uid
            ),
        ),
        ("hugepages", if pools.is_empty() { "none".to_owned() } else { pools.join("; ") }),
        ("THP", machine.thp.as_deref().map_or_else(|| "none".to_owned(), one_line)),
        ("userfaultfd", creation.to_owned()),
        ("features", list(&run.features)),
        ("run", format!("{} at once, at most {} s a case{wall}", count(run.jobs, "case"), run.time_limit)),
    ];
    facts.extend(run.unwatched.as_deref().map(|why| ("kernel log", format!("not watched: {}", one_line(why)))));
    facts.extend((!run.cleaned.is_empty()).then(|| ("cleaned up", list(&run.cleaned))));
    facts
}

/// A reason for which cases were skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkipReason {
    /// Who lacks what they need; nothing if the record does not say.
    pub who: Option<Who>,
    /// What is missing, and for the machine what to do.
    pub reason: String,
    /// How many cases.
    pub cases: usize,
}

impl SkipReason {
    /// Who lacks it, in words.
    pub fn who(&self) -> &'static str {
        match self.who {
            Some(Who::Kernel) => "kernel lacks",
            Some(Who::Machine) => "machine lacks",
            None => "skipped",
        }
    }
}

/// The distinct reasons for skips, the most frequent first.
pub fn skip_reasons(recorded: &Recorded) -> Vec<SkipReason> {
    let mut reasons: Vec<SkipReason> = Vec::new();
    for case in recorded.cases.values().filter(|case| case.verdict == Verdict::Skip) {
        let reason = reason(case);
        match reasons.iter_mut().find(|known| known.who == case.lacks && known.reason == reason) {
            Some(known) => known.cases += 1,
            None => reasons.push(SkipReason { who: case.lacks, reason, cases: 1 }),
        }
    }
    reasons.sort_by_key(|reason| (reason.who == Some(Who::Machine), std::cmp::Reverse(reason.cases)));
    reasons
}

/// The reason of a case on one line.
fn reason(case: &CaseResult) -> String {
    case.reason
        .as_deref()
        .map(one_line)
        .filter(|reason| !reason.is_empty())
        .unwrap_or_else(|| "no reason given".to_owned())
}

/// The cases with this verdict.
fn with_verdict(recorded: &Recorded, verdict: Verdict) -> impl Iterator<Item = &CaseResult> {
    recorded.cases.values().filter(move |case| case.verdict == verdict)
}
