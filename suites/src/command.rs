//! The command `uffd-conformance`: its arguments and what each subcommand does.

mod coverage;
mod filter;
mod listing;
mod probe;
#[cfg(feature = "perverse")]
mod prove;
mod report;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use run::PANIC_AT;

/// Says, with evidence, what the running Linux kernel does with userfaultfd.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 nothing failed (skips are no failure), 1 a case failed, 2 usage, 3 the harness could not do its work."
)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// What this kernel and machine offer; why something is missing, and what to do
    Probe {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// The cases, their axes, statements and needs
    List {
        /// Names of cases or parts of them (`*` stands for anything), or ids of statements
        filters: Vec<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Run cases, each in a process of its own
    Run(RunArguments),
    /// Make reports from records, of this machine or others
    Report(ReportArguments),
    /// Which statements are checked by which cases, and which are not yet
    Coverage {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// One statement: its text, source, cases and known deviations
    Explain {
        /// The statement, such as COPY-005
        id: String,
    },
    /// Run the cases on kernels that are broken on purpose, and say which of these nobody notices
    #[cfg(feature = "perverse")]
    Prove(ProveArguments),
}

/// The arguments of `prove`.
#[cfg(feature = "perverse")]
#[derive(Debug, clap::Args)]
struct ProveArguments {
    /// Names of perversions or parts of them; all of them if not given
    names: Vec<String>,
    /// Only so many of them, spread over the list
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Run every case, not only those that name a broken statement
    #[arg(long)]
    all: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = ProofFormat::Matrix)]
    format: ProofFormat,
    /// Perversions at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// How long a case may take
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2000)]
    time_limit: u64,
}

/// The arguments of `run`.
#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Names of cases or parts of them (`*` stands for anything), or ids of statements
    filters: Vec<String>,
    /// Keep the record of the run in this file (JSON Lines)
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    format: Format,
    /// Cases at once; the number of CPUs if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// How long a case may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86400))]
    time_limit: u64,
    /// Count known deviations as failures
    #[arg(long)]
    strict: bool,
    /// Go on with the run of this record where it died; without --record the file is continued
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// The kernel log of the guest that died, kept with the case that was running
    #[arg(long, value_name = "FILE", requires = "resume")]
    resume_log: Option<PathBuf>,
}

/// What `prove` prints.
#[cfg(feature = "perverse")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProofFormat {
    /// Each perversion and who killed it, then what is left of both
    Matrix,
    /// The same with the reason of each kill
    Reasons,
    /// One JSON object
    Json,
    /// Only the perversions, what they are and what they break; nothing is run
    List,
}

/// The arguments of `report`.
#[derive(Debug, clap::Args)]
struct ReportArguments {
    /// Records made by `run --record`; several are merged into one comparison
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<PathBuf>,
    /// Write a page that shows the matrix and, behind each cell, its evidence
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write KTAP
    #[arg(long, value_name = "FILE")]
    ktap: Option<PathBuf>,
    /// Write JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What `run` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Failures as they come, then the matrix
    Terminal,
    /// The kernel's test format
    Ktap,
    /// The record itself, JSON Lines
    Json,
    /// JUnit XML, at the end
    Junit,
}

/// Nothing failed.
const PASSED: u8 = 0;
/// At least one case failed.
const FAILED: u8 = 1;
/// The command was called wrongly.
const USAGE: u8 = 2;
/// The harness could not do its work.
const ERROR: u8 = 3;

/// A mistake of the caller: one line that says what to do.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let done = match arguments.action {
        Action::Probe { json } => probe::probe(json),
        Action::List { filters, json } => listing::list(&filters, json),
        Action::Run(arguments) => run::run(&arguments),
        Action::Report(arguments) => report::report(&arguments),
        Action::Coverage { json } => coverage::coverage(json),
        Action::Explain { id } => coverage::explain(&id),
        #[cfg(feature = "perverse")]
        Action::Prove(arguments) => prove::prove(&arguments),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) if is_closed_pipe(&error) => ExitCode::from(PASSED),
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(if error.is::<Usage>() { USAGE } else { ERROR })
        }
    }
}

/// Says in one line what is wrong, whatever characters the caller's words hold.
fn complain(what: &str) {
    let mut line = String::from("uffd-conformance: ");
    for letter in what.chars() {
        if letter.is_control() { line.extend(letter.escape_default()) } else { line.push(letter) }
    }
    eprintln!("{line}");
}

/// Prints the help that was asked for, or says in one line what is wrong with the arguments.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match print(&error.to_string()) {
            Err(error) if !is_closed_pipe(&error) => ExitCode::from(ERROR),
            _ => ExitCode::from(PASSED),
        };
    }
    let text = error.to_string();
    // The paragraphs behind the first show the usage and say where the help is.
    let what = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let what = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a subcommand is missing".to_owned(),
        _ => what.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    complain(&format!("{what} (see 'uffd-conformance --help')"));
    ExitCode::from(USAGE)
}

/// Whether nobody reads the output any more, as behind `| head`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Prints text; an error if nobody reads it.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
