//! `prove`: every perversion against the cases that should see it, and what is left of both.
//!
//! Each perversion gets a process of its own, forked before anything was probed, in whose life the kernel is broken from the
//! first call on. A kill counts if the case names a statement that the perversion breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use serde::{Deserialize, Serialize};
use uffd_harness::case::{self, Case, Verdict};
use uffd_harness::perverse::{self, Perversion};
use uffd_harness::record::Entry;
use uffd_harness::runner::{Judge, Session};
use uffd_harness::sys;

use super::{FAILED, PASSED, ProofFormat, ProveArguments, Usage, print};
use crate::{known, statements};

/// Cases that hang under one perversion until the others are left alone.
const MOST_HANGS: usize = 12;

/// The cases that a line of the matrix names.
const NAMED: usize = 4;

/// What became of the cases under one perversion.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Verdicts {
    /// By name: failed, with the reason.
    killers: BTreeMap<String, String>,
    /// Failed as the list of known deviations says, with what that says.
    known: BTreeMap<String, String>,
    passed: BTreeSet<String>,
    skipped: BTreeSet<String>,
    errors: BTreeMap<String, String>,
    /// Left alone after too many hangs.
    left: usize,
}

/// What a perversion came to.
#[derive(Debug, Serialize)]
struct Proof {
    perversion: &'static str,
    what: &'static str,
    breaks: &'static [&'static str],
    /// Cases that fail and name a statement that is broken.
    killed_by: BTreeMap<String, String>,
    /// Cases that fail and name none.
    by_accident: BTreeMap<String, String>,
    /// Cases that name a broken statement and pass all the same.
    blind: BTreeSet<String>,
    skipped: BTreeSet<String>,
    errors: BTreeMap<String, String>,
    left: usize,
    /// Cases that name a broken statement and show nothing here: they are skipped, or fail on the kernel as it is.
    not_here: usize,
    millis: u64,
}

/// Runs the chosen perversions; the exit status.
pub(super) fn prove(arguments: &ProveArguments) -> anyhow::Result<u8> {
    let perversions = choose(arguments)?;
    if arguments.format == ProofFormat::List {
        let lines: Vec<String> =
            perversions.iter().map(|p| format!("{:<48} {} [{}]", p.name, p.what, p.breaks.join(" "))).collect();
        print(&format!("{}\n{} perversions\n", lines.join("\n"), perversions.len()))?;
        return Ok(PASSED);
    }
    let limit = Duration::from_millis(arguments.time_limit);
    let cases = case::all()?;
    let begun = Instant::now();
    let whole = arguments.names.is_empty() && arguments.sample.is_none();
    // All of them where all perversions are tried: a case that none of these could make fail is to be found too.
    let wanted: Vec<Case> = cases
        .iter()
        .filter(|case| arguments.all || whole || perversions.iter().any(|p| names(case, p)))
        .cloned()
        .collect();
    // A case that fails on the kernel as it is shows nothing by failing on a broken one.
    let honest = batch(&[(None, wanted)], arguments.jobs, limit, &mut |_, _, _| Ok(()))?.remove(0);
    let usable: Vec<Case> =
        cases.iter().filter(|case| honest.passed.contains(&case.declaration.name)).cloned().collect();
    let work: Vec<(Option<&'static Perversion>, Vec<Case>)> = perversions
        .iter()
        .map(|p| (Some(*p), usable.iter().filter(|case| arguments.all || names(case, p)).cloned().collect()))
        .collect();
    let mut proofs = Vec::new();
    batch(&work, arguments.jobs, limit, &mut |index, verdicts, elapsed| {
        let not_usable = cases.iter().filter(|case| !honest.passed.contains(&case.declaration.name));
        let not_here = not_usable.filter(|case| names(case, perversions[index])).count();
        let proof = Proof::new(perversions[index], verdicts, &usable, not_here, elapsed);
        if arguments.format != ProofFormat::Json {
            print(&proof.line(arguments.format == ProofFormat::Reasons))?;
        }
        proofs.push(proof);
        Ok(())
    })?;
    proofs.sort_by_key(|proof| perversions.iter().position(|p| p.name == proof.perversion));
    let idle = if whole { idle(&usable, &proofs) } else { Vec::new() };
    if arguments.format == ProofFormat::Json {
        print(&format!("{}\n", serde_json::json!({ "proofs": proofs, "idle": idle, "not_usable": honest.killers })))?;
    } else {
        print(&summary(&proofs, &idle, &honest, whole, begun.elapsed()))?;
    }
    Ok(if proofs.iter().any(Proof::survived) || !idle.is_empty() { FAILED } else { PASSED })
}

fn names(case: &Case, perversion: &Perversion) -> bool {
    case.declaration.statements.iter().any(|id| perversion.breaks.contains(id))
}

/// The function of a case, without its axes.
fn function(name: &str) -> String {
    name.splitn(3, "::").take(2).collect::<Vec<_>>().join("::")
}

fn choose(arguments: &ProveArguments) -> anyhow::Result<Vec<&'static Perversion>> {
    let all = perverse::all();
    let unknown: Vec<&str> = all
        .iter()
        .flat_map(|perversion| perversion.breaks)
        .filter(|id| statements::find(id).is_none())
        .copied()
        .collect();
    anyhow::ensure!(unknown.is_empty(), "perversions break statements that nobody knows: {}", unknown.join(", "));
    for name in &arguments.names {
        if !all.iter().any(|perversion| perversion.name.contains(name.as_str())) {
            return Err(Usage(format!("no perversion is called '{name}' (see 'prove --list')")).into());
        }
    }
    let chosen: Vec<&Perversion> = all
        .iter()
        .filter(|perversion| {
            arguments.names.is_empty() || arguments.names.iter().any(|name| perversion.name.contains(name.as_str()))
        })
        .collect();
    let count = arguments.sample.unwrap_or(chosen.len()).clamp(1, chosen.len());
    Ok((0..count).map(|index| chosen[index * chosen.len() / count]).collect())
}

/// A process in which cases run under one perversion.
struct Worker {
    pid: Pid,
    index: usize,
    results: OwnedFd,
    begun: Instant,
}

type Done<'a> = dyn FnMut(usize, Verdicts, Duration) -> anyhow::Result<()> + 'a;

/// Runs each list of cases under its perversion in a process of its own, some at once; all verdicts, in order.
fn batch(
    work: &[(Option<&'static Perversion>, Vec<Case>)],
    jobs: usize,
    limit: Duration,
    done: &mut Done<'_>,
) -> anyhow::Result<Vec<Verdicts>> {
    let mut running: Vec<Worker> = Vec::new();
    let mut results: Vec<Verdicts> = work.iter().map(|_| Verdicts::default()).collect();
    let mut next = 0;
    while next < work.len() || !running.is_empty() {
        while next < work.len() && running.len() < jobs {
            let (perversion, cases) = &work[next];
            running.push(start(next, *perversion, cases, limit)?);
            next += 1;
        }
        let (WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, _, _)) = waitpid(None, None)? else { continue };
        let Some(at) = running.iter().position(|worker| worker.pid == ended) else { continue };
        let worker = running.swap_remove(at);
        let mut bytes = vec![0; rustix::fs::fstat(&worker.results)?.st_size as usize];
        rustix::io::pread(&worker.results, &mut bytes, 0)?;
        let name = work[worker.index].0.map_or("the kernel as it is", |perversion| perversion.name);
        let verdicts: Verdicts = serde_json::from_slice(&bytes)
            .map_err(|_| anyhow::anyhow!("{name}: the run died: {}", String::from_utf8_lossy(&bytes)))?;
        let elapsed = worker.begun.elapsed();
        if work[worker.index].0.is_some() {
            done(worker.index, verdicts, elapsed)?;
        } else {
            results[worker.index] = verdicts;
        }
    }
    Ok(results)
}

fn start(
    index: usize,
    perversion: Option<&'static Perversion>,
    cases: &[Case],
    limit: Duration,
) -> anyhow::Result<Worker> {
    let results = sys::memfd(libc::MFD_CLOEXEC)?;
    match sys::fork()? {
        ForkResult::Parent { child } => Ok(Worker { pid: child, index, results, begun: Instant::now() }),
        ForkResult::Child => {
            let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM);
            perverse::activate(perversion);
            let text = match run(cases, limit, perversion.is_none()) {
                Ok(verdicts) => serde_json::to_vec(&verdicts).unwrap_or_default(),
                Err(error) => error.to_string().into_bytes(),
            };
            let _ = rustix::io::pwrite(&results, &text, 0);
            sys::exit_now(0)
        }
    }
}

/// The whole life of such a process.
fn run(cases: &[Case], limit: Duration, honest: bool) -> anyhow::Result<Verdicts> {
    let mut verdicts = Verdicts::default();
    let mut hangs = 0;
    let jobs = if honest { 2 } else { 1 };
    let mut session = Session::begin(cases, jobs)?;
    // Only the kernel as it is can be known to deviate.
    let judge: &Judge<'_> = if honest { &known::judge } else { &|_, _, _| None };
    let ran = session.run(cases, limit, judge, &mut |entry| {
        let Entry::Case(case) = entry else { return Ok(()) };
        let (name, reason) = (case.case.clone(), case.reason.clone().unwrap_or_default());
        hangs += usize::from(case.verdict == Verdict::Fail && reason.starts_with("hang:"));
        match case.verdict {
            Verdict::Pass => drop(verdicts.passed.insert(name)),
            Verdict::Fail => drop(verdicts.killers.insert(name, reason)),
            Verdict::Known => drop(verdicts.known.insert(name, reason)),
            Verdict::Skip => drop(verdicts.skipped.insert(name)),
            Verdict::Error => drop(verdicts.errors.insert(name, reason)),
        }
        if hangs >= MOST_HANGS { Err(uffd_harness::Error::Other("too many hangs".to_owned())) } else { Ok(()) }
    });
    match ran {
        Ok((_, false)) => {}
        Ok((_, true)) => anyhow::bail!("ended by a signal"),
        Err(_) if hangs >= MOST_HANGS => {}
        Err(error) => return Err(error.into()),
    }
    let failed = verdicts.killers.len() + verdicts.known.len() + verdicts.errors.len();
    let seen = failed + verdicts.passed.len() + verdicts.skipped.len();
    verdicts.left = cases.len() - seen;
    Ok(verdicts)
}

impl Proof {
    fn new(
        perversion: &'static Perversion,
        verdicts: Verdicts,
        cases: &[Case],
        not_here: usize,
        elapsed: Duration,
    ) -> Self {
        let named: BTreeSet<&str> =
            cases.iter().filter(|case| names(case, perversion)).map(|case| case.declaration.name.as_str()).collect();
        let (killed_by, by_accident) =
            verdicts.killers.into_iter().partition(|(name, _): &(String, String)| named.contains(name.as_str()));
        Self {
            perversion: perversion.name,
            what: perversion.what,
            breaks: perversion.breaks,
            killed_by,
            by_accident,
            blind: verdicts.passed.into_iter().filter(|name| named.contains(name.as_str())).collect(),
            skipped: verdicts.skipped,
            errors: verdicts.errors,
            left: verdicts.left,
            not_here,
            millis: elapsed.as_millis() as u64,
        }
    }

    /// Whether no case that could see it shows anything on this machine.
    fn untried(&self) -> bool {
        self.killed_by.is_empty() && self.blind.is_empty() && self.not_here > 0
    }

    fn survived(&self) -> bool {
        self.killed_by.is_empty() && !self.untried()
    }

    /// The line of the matrix.
    fn line(&self, verbose: bool) -> String {
        let mut text = if self.untried() {
            format!("{:<44} untried: the {} cases that could see it show nothing here", self.perversion, self.not_here)
        } else if self.survived() {
            format!("{:<44} SURVIVED [{}] {}", self.perversion, self.breaks.join(" "), self.what)
        } else {
            format!(
                "{:<44} killed by {} cases: {}",
                self.perversion,
                self.killed_by.len(),
                grouped(self.killed_by.keys())
            )
        };
        let others = [
            ("blind", self.blind.len()),
            ("skipped", self.skipped.len()),
            ("errors", self.errors.len()),
            ("left after hangs", self.left),
        ];
        for (what, count) in others.into_iter().filter(|(_, count)| *count > 0) {
            text += &format!("; {count} {what}");
        }
        if !self.by_accident.is_empty() {
            text += &format!("; by accident: {}", grouped(self.by_accident.keys()));
        }
        text.push('\n');
        if verbose || self.survived() {
            for (name, reason) in self.killed_by.iter().chain(&self.by_accident).chain(&self.errors) {
                text += &format!("    {name}: {reason}\n");
            }
            if self.survived() && !self.blind.is_empty() {
                text += &format!("    passed: {}\n", grouped(self.blind.iter()));
            }
        }
        text
    }
}

/// Functions with the number of their cases.
fn grouped<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut functions: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *functions.entry(function(name)).or_default() += 1;
    }
    let count = functions.len();
    let mut text: Vec<String> = functions
        .into_iter()
        .take(NAMED)
        .map(|(name, cases)| if cases == 1 { name } else { format!("{name} ({cases})") })
        .collect();
    if count > NAMED {
        text.push(format!("and {} more", count - NAMED));
    }
    text.join(", ")
}

/// The cases that no perversion makes fail.
fn idle(usable: &[Case], proofs: &[Proof]) -> Vec<String> {
    let killers: BTreeSet<&str> = proofs.iter().flat_map(|proof| proof.killed_by.keys()).map(String::as_str).collect();
    usable.iter().map(|case| case.declaration.name.clone()).filter(|name| !killers.contains(name.as_str())).collect()
}

fn summary(proofs: &[Proof], idle: &[String], honest: &Verdicts, whole: bool, elapsed: Duration) -> String {
    let survivors: Vec<&str> = proofs.iter().filter(|proof| proof.survived()).map(|proof| proof.perversion).collect();
    let untried: Vec<&str> = proofs.iter().filter(|proof| proof.untried()).map(|proof| proof.perversion).collect();
    let killers: BTreeSet<&String> = proofs.iter().flat_map(|proof| proof.killed_by.keys()).collect();
    let mut text = format!(
        "\n{} perversions: {} killed, {} survived, {} untried; {} cases kill at least one; {:.1} s\n",
        proofs.len(),
        proofs.len() - survivors.len() - untried.len(),
        survivors.len(),
        untried.len(),
        killers.len(),
        elapsed.as_secs_f64()
    );
    if !survivors.is_empty() {
        text += &format!("survived: {}\n", survivors.join(", "));
    }
    if !untried.is_empty() {
        text += &format!(
            "untried, because every case that could see them is skipped here, or fails on the kernel as it is: {}\n",
            untried.join(", ")
        );
    }
    if !honest.known.is_empty() {
        text += "left out, because this kernel is known to break them:\n";
        for (name, reason) in &honest.known {
            text += &format!("    {name}: {reason}\n");
        }
    }
    if !honest.killers.is_empty() || !honest.errors.is_empty() {
        text += "left out, because they fail on the kernel as it is:\n";
        for (name, reason) in honest.killers.iter().chain(&honest.errors) {
            text += &format!("    {name}: {reason}\n");
        }
    }
    if whole {
        let mut functions: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for name in idle {
            functions.entry(function(name)).or_default().push(name);
        }
        text += &format!("{} cases of {} functions kill none:\n", idle.len(), functions.len());
        for (name, cases) in functions {
            let kills = killers.iter().filter(|killer| function(killer) == name).count();
            text += &format!("    {name}: {} cases, {kills} others of it kill\n", cases.len());
        }
    }
    text
}
