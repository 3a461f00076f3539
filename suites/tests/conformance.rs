//! The cases under `cargo test` and `cargo nextest run`: the same ones as the command's, each in a process of its own.
//!
//! A skipped case is shown as ignored, with its reason; nextest, which knows only what the list says, shows it as skipped.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use uffd_conformance::{known, statements};
use uffd_harness::case::{self, Case, Verdict};
use uffd_harness::kernel;
use uffd_harness::record::{CaseResult, Entry};
use uffd_harness::runner::Session;

/// As `uffd-conformance run` has it.
const TIME_LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    uffd_harness::sys::hold_if_asked();
    let mut arguments = Arguments::from_args();
    // A case is a fork of this process, which must therefore stay single-threaded.
    arguments.test_threads = Some(1);
    let trials = match trials(&arguments) {
        Ok(trials) => trials,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(arguments: &Arguments) -> Result<Vec<Trial>, String> {
    let cases = case::all().map_err(|error| error.to_string())?;
    let defects = statements::defects(&cases);
    if !defects.is_empty() {
        return Err(defects.join("; "));
    }
    if let Some(absence) = kernel::current().absence() {
        return Err(absence);
    }
    let chosen: Vec<Case> = cases.into_iter().filter(|case| !is_filtered_out(arguments, case)).collect();
    let session = Session::begin(&chosen, 1).map_err(|error| error.to_string())?;
    if !session.cleaned().is_empty() {
        eprintln!("cleaned up after a run that was killed: {}", session.cleaned().join(", "));
    }
    // nextest takes skips from the list alone, and runs what the list does not mark.
    let list_skips = arguments.list || std::env::var_os("NEXTEST").is_some();
    let here = session.kernel().clone();
    let session = Arc::new(Mutex::new(Some(session)));
    Ok(chosen
        .into_iter()
        .map(|case| {
            let ignored = list_skips && case.declaration.lack(&here).is_some();
            let session = Arc::clone(&session);
            let name = case.declaration.name.clone();
            Trial::ignorable_test(name, move || run(&session, &case)).with_ignored_flag(ignored)
        })
        .collect())
}

/// Whether the arguments leave this case out, so that nothing is set up for it.
fn is_filtered_out(arguments: &Arguments, case: &Case) -> bool {
    // Marked as `--ignored` wants it: what it lacks is not known yet, and takes no part here.
    let trial = Trial::test(case.declaration.name.clone(), || Ok(())).with_ignored_flag(arguments.ignored);
    arguments.is_filtered_out(&trial)
}

fn run(session: &Mutex<Option<Session>>, case: &Case) -> Result<Completion, Failed> {
    let mut guard = session.lock().map_err(|error| error.to_string())?;
    let mut result = None;
    let ran = guard.as_mut().ok_or("the run was ended by a signal")?.run(
        std::slice::from_ref(case),
        TIME_LIMIT,
        &known::judge,
        &mut |entry| {
            if let Entry::Case(case) = entry {
                result = Some(case.clone());
            }
            Ok(())
        },
    );
    match ran {
        Ok((_, false)) => {}
        Ok((_, true)) => {
            // Gives back what the session has lent before the process ends.
            *guard = None;
            eprintln!("Error: ended by a signal");
            std::process::exit(130);
        }
        Err(error) => return Err(error.to_string().into()),
    }
    let result: Box<CaseResult> = result.ok_or("the case has no verdict")?;
    let reason = result.reason.unwrap_or_default();
    match result.verdict {
        Verdict::Pass => Ok(Completion::Completed),
        Verdict::Skip => Ok(Completion::ignored_with(reason)),
        Verdict::Known => Ok(Completion::ignored_with(format!("known deviation: {reason}"))),
        Verdict::Fail => Err(format!("Error: {reason}").into()),
        Verdict::Error => Err(format!("Error: the harness could not do its work: {reason}").into()),
    }
}
