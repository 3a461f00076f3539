//! `run`: cases, each in a process of its own; the record, and what is printed.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use uffd_harness::Error;
use uffd_harness::case::{self, Case};
use uffd_harness::kernel;
use uffd_harness::record::{Axes, CaseResult, Counts, Entry, Recorded, Writer, died, read_whole};
use uffd_harness::report::{junit, ktap, terminal};
use uffd_harness::runner::{self, Options};

use super::{ERROR, FAILED, Format, PASSED, RunArguments, Usage, filter, is_closed_pipe, print, report};
use crate::known;

/// Names the case at whose start the kernel is made to panic. Process 1 of a guest sets it when the kernel's command line says
/// so, to show that such a death costs one case.
pub(crate) const PANIC_AT: &str = "UFFD_CONFORMANCE_PANIC_AT";

/// Lines of a dead guest's log that are kept with the case that was running.
const LOG_LINES: usize = 60;

/// Runs the chosen cases; the exit status.
pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<u8> {
    let cases = filter::choose(case::all()?, &arguments.filters)?;
    let before = arguments.resume.as_deref().map(|path| Before::read(path, &cases, arguments)).transpose()?;
    let mut record = writer(arguments)?;
    if let Some(absence) = kernel::current().absence() {
        return Err(anyhow::anyhow!("{absence} (see 'uffd-conformance probe')"));
    }
    let done: BTreeSet<&str> =
        before.iter().flat_map(|before| before.recorded.cases.keys().map(String::as_str)).collect();
    let cases: Vec<Case> = cases.into_iter().filter(|case| !done.contains(case.declaration.name.as_str())).collect();
    let options = Options {
        jobs: arguments.jobs.map_or_else(|| kernel::current().machine.cpus, usize::from),
        time_limit: Duration::from_secs(arguments.time_limit),
        suite: env!("CARGO_PKG_VERSION").to_owned(),
        resumed: before.is_some(),
    };
    let mut show = Show::new(arguments.format, before.as_ref().map(|before| before.bytes.clone()));
    let earlier = before.as_ref().map_or_else(Counts::default, |before| before.recorded.counts());
    let died: &[CaseResult] = before.as_ref().map_or(&[], |before| &before.died);
    let panic_at = std::env::var(PANIC_AT).ok();
    let mut tell = |entry: &Entry| {
        if let Some(record) = &mut record {
            record.write(entry)?;
        }
        show.entry(entry)?;
        match (entry, &panic_at) {
            (Entry::Start(start), Some(case)) if start.case == *case => {
                std::fs::write("/proc/sysrq-trigger", "c").map_err(|error| Error::file("/proc/sysrq-trigger", error))
            }
            _ => Ok(()),
        }
    };
    let strict = |_: &Case, _: &str, _: &kernel::Kernel| None;
    let judge: &runner::Judge<'_> = if arguments.strict { &strict } else { &known::judge };
    let (counts, interrupted) = runner::run(&cases, &options, judge, &mut |entry| match entry {
        Entry::Run(run) => {
            if !run.cleaned.is_empty() {
                eprintln!("uffd-conformance: cleaned up after a run that was killed: {}", run.cleaned.join(", "));
            }
            if run.jobs < options.jobs {
                eprintln!("uffd-conformance: one case at a time: this kernel has no file locks (CONFIG_FILE_LOCKING)");
            }
            let mut run = run.clone();
            // Their verdict is told by this run, which makes them cases of it.
            run.cases += died.len();
            tell(&Entry::Run(run))?;
            died.iter().try_for_each(|case| tell(&Entry::Case(Box::new(case.clone()))))
        }
        Entry::End(end) => {
            let mut end = end.clone();
            end.counts = end.counts.plus(earlier);
            tell(&Entry::End(end))
        }
        _ => tell(entry),
    })?;
    show.finish()?;
    Ok(status(counts.plus(earlier), interrupted))
}

/// A record that cannot be written is refused before the first case.
fn writer(arguments: &RunArguments) -> anyhow::Result<Option<Writer>> {
    let refused = |error: Error| {
        anyhow::Error::new(Usage(format!("the record cannot be written: {error}; name another file by --record")))
    };
    match (&arguments.record, &arguments.resume) {
        (Some(path), Some(before)) if path != before => Writer::create(path).map(Some).map_err(refused),
        (_, Some(before)) => Writer::append(before).map(Some).map_err(refused),
        (Some(path), None) => Writer::create(path).map(Some).map_err(refused),
        (None, None) => Ok(None),
    }
}

fn status(counts: Counts, interrupted: bool) -> u8 {
    if counts.error > 0 || interrupted {
        ERROR
    } else if counts.fail > 0 {
        FAILED
    } else {
        PASSED
    }
}

/// The run that is gone on with.
struct Before {
    recorded: Recorded,
    /// The record as it was.
    bytes: Vec<u8>,
    /// The cases in which it died.
    died: Vec<CaseResult>,
}

impl Before {
    fn read(path: &Path, cases: &[Case], arguments: &RunArguments) -> anyhow::Result<Self> {
        let recorded = Recorded::read(path).map_err(|error| Usage(format!("--resume: {error}")))?;
        let mut bytes = read_whole(path).map_err(|error| Usage(format!("{}: {error}", path.display())))?;
        bytes.push(b'\n');
        let log = match &arguments.resume_log {
            Some(path) => read_whole(path).map_err(|error| Usage(format!("{}: {error}", path.display())))?,
            None => Vec::new(),
        };
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<String> = log.lines().map(|line| line.trim_end().to_owned()).collect();
        let log = lines[lines.len().saturating_sub(LOG_LINES)..].to_vec();
        let died = recorded
            .died_in
            .iter()
            .map(|name| {
                let mut result = died(name);
                if let Some(case) = cases.iter().find(|case| case.declaration.name == *name) {
                    result.axes = Axes(case.declaration.axes.clone());
                    result.statements = case.declaration.statements.iter().map(|id| (*id).to_owned()).collect();
                }
                result.log.clone_from(&log);
                result
            })
            .collect();
        Ok(Self { recorded, bytes, died })
    }
}

/// What is printed while the run goes on and when it is over.
struct Show {
    format: Format,
    terminal: terminal::Live,
    ktap: ktap::Live,
    /// The entries so far, for what is made at the end.
    lines: Vec<u8>,
    progress: bool,
    silent: bool,
}

impl Show {
    fn new(format: Format, earlier: Option<Vec<u8>>) -> Self {
        let progress = format == Format::Terminal
            && std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        Self {
            format,
            terminal: terminal::Live::new(),
            ktap: ktap::Live::new(),
            lines: earlier.unwrap_or_default(),
            progress,
            silent: false,
        }
    }

    fn entry(&mut self, entry: &Entry) -> uffd_harness::Result<()> {
        let line = serde_json::to_string(entry).map_err(|error| Error::Other(error.to_string()))?;
        self.lines.extend_from_slice(line.as_bytes());
        self.lines.push(b'\n');
        let text = match self.format {
            Format::Terminal => self.terminal.entry(entry),
            Format::Ktap => self.ktap.entry(entry),
            Format::Json => format!("{line}\n"),
            Format::Junit => String::new(),
        };
        if self.progress {
            // One line that is written over again and again; errors on it matter to nobody.
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[K{}",
                if text.is_empty() { self.terminal.progress() } else { String::new() }
            );
        }
        if text.is_empty() { Ok(()) } else { self.say(&text).map_err(|error| Error::Other(error.to_string())) }
    }

    /// Prints text; when nobody reads it any more the run goes on in silence.
    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        if self.silent {
            return Ok(());
        }
        match print(text) {
            Err(error) if is_closed_pipe(&error) => {
                self.silent = true;
                Ok(())
            }
            done => done,
        }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        if self.progress {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let text = match self.format {
            Format::Terminal => {
                let recorded = Recorded::parse(&self.lines).map_err(|error| anyhow::anyhow!(error))?;
                terminal::matrix(&[recorded], &report::catalogue())
            }
            Format::Junit => junit::render(&[Recorded::parse(&self.lines).map_err(|error| anyhow::anyhow!(error))?])?,
            Format::Ktap | Format::Json => return Ok(()),
        };
        self.say(&text)
    }
}
