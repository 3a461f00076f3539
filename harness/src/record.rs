//! The run's record: JSON Lines, one object a line, each written before the next case begins.
//!
//! `type` tells the objects apart: `run` (what ran where), `start` (a case begins), `case` (its verdict), `end` (counts).
//! A record without `end` is a run that died; a `start` without its `case` names what was running then. A record of a
//! run that was resumed has a second `run` line with `resumed`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::case::{AxisValue, Verdict};
use crate::kernel::Kernel;
use crate::need::Who;
use crate::{Error, Result};

/// One line of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Entry {
    /// What ran where.
    Run(Box<Run>),
    /// A case begins.
    Start(Start),
    /// A case has its verdict.
    Case(Box<CaseResult>),
    /// The run is complete.
    End(End),
}

/// `run`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The version of the suite.
    pub suite: String,
    /// The kernel and its machine.
    pub kernel: Kernel,
    /// The names of the features the kernel offers.
    pub features: Vec<String>,
    /// How many cases were chosen.
    pub cases: usize,
    /// Cases at once.
    pub jobs: usize,
    /// Seconds that a case may take.
    pub time_limit: u64,
    /// Whether this goes on with a run that died.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// What was cleaned up before it: leftovers of runs that were killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleaned: Vec<String>,
    /// Why the kernel log is not watched, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwatched: Option<String>,
}

/// `start`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The case's name.
    pub case: String,
}

/// `case`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case's name.
    pub case: String,
    /// Its area.
    pub area: String,
    /// Its axes, in order.
    pub axes: Axes,
    /// The statements it checks.
    pub statements: Vec<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, for every verdict but a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who lacks what a skipped case needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Who>,
    /// Which of the accepted outcomes of an observed statement was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Lines that the kernel logged meanwhile, if they are of concern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// The axes of a case as an object, in the order of the case's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Axes(pub Vec<AxisValue>);

impl Axes {
    /// The value on one axis.
    pub fn get(&self, axis: &str) -> Option<&str> {
        self.0.iter().find(|value| value.axis == axis).map(|value| value.value.as_str())
    }
}

impl Serialize for Axes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|value| (&value.axis, &value.value)))
    }
}

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = serde_json::Map::deserialize(deserializer)?;
        Ok(Self(
            map.into_iter()
                .map(|(axis, value)| AxisValue { axis, value: value.as_str().unwrap_or_default().to_owned() })
                .collect(),
        ))
    }
}

/// How many cases had each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// `pass`
    pub pass: usize,
    /// `fail`
    pub fail: usize,
    /// `known`
    pub known: usize,
    /// `skip`
    pub skip: usize,
    /// `error`
    pub error: usize,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Fail => &mut self.fail,
            Verdict::Known => &mut self.known,
            Verdict::Skip => &mut self.skip,
            Verdict::Error => &mut self.error,
        } += 1;
    }

    /// These and others together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            pass: self.pass.saturating_add(other.pass),
            fail: self.fail.saturating_add(other.fail),
            known: self.known.saturating_add(other.known),
            skip: self.skip.saturating_add(other.skip),
            error: self.error.saturating_add(other.error),
        }
    }

    /// All of them.
    pub fn total(self) -> usize {
        // A record from elsewhere may hold any numbers.
        [self.fail, self.known, self.skip, self.error].into_iter().fold(self.pass, usize::saturating_add)
    }
}

/// `end`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The verdicts, of a resumed run all of them.
    pub counts: Counts,
    /// The wall time of the run in milliseconds.
    pub millis: u64,
    /// Whether a signal ended the run before its last case.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// Writes a record, a line at a time.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: String,
    is_serial: bool,
}

/// The bytes of a file or of a pipe. A device is refused: some, such as `/dev/zero`, have no end.
pub fn read_whole(path: &Path) -> std::io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_char_device() || kind.is_block_device() {
        return Err(std::io::Error::other("a device, not a file"));
    }
    std::fs::read(path)
}

impl Writer {
    /// Begins a record in a new or emptied file, or on a device. Fails before the first case if it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::create(path).map_err(|error| Error::file(&name, error))?;
        let is_serial = file.is_terminal();
        Ok(Self { file, path: name, is_serial })
    }

    /// Goes on with a record at its end; a last line that was cut off is taken away first.
    pub fn append(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |error| Error::file(&name, error);
        let whole = read_whole(path).map_err(failed)?.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut file = std::fs::OpenOptions::new().append(true).open(path).map_err(failed)?;
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { file, path: name, is_serial: false })
    }

    /// Writes one line, whole, by one call.
    pub fn write(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_string(entry).map_err(|error| Error::Other(error.to_string()))?;
        line.push('\n');
        let before = self.file.stream_position().ok();
        self.file.write_all(line.as_bytes()).map_err(|error| {
            // A full disk takes the beginning of a line: a record holds whole ones.
            let _ = before.map(|before| self.file.set_len(before));
            Error::file(&self.path, error)
        })?;
        if self.is_serial {
            // A line that is still in the port's buffer when the kernel dies never reaches the host.
            let _ = nix::sys::termios::tcdrain(&self.file);
        }
        Ok(())
    }
}

/// A run as read back from a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What ran where.
    pub run: Run,
    /// The verdicts by case; one that was running when the run died is `error`.
    pub cases: BTreeMap<String, CaseResult>,
    /// The `end` line, if the run came that far.
    pub end: Option<End>,
    /// The cases that were running when the run died.
    pub died_in: Vec<String>,
    /// Lines that could not be used: number, counted from 1, and why.
    pub bad_lines: Vec<(usize, String)>,
}

/// The reason given to a case that was running when everything ended.
pub const DIED: &str = "kernel or machine died here";

impl Recorded {
    /// Reads a record. Lines that are no entries are noted and passed over; a file without a `run` line is no record.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = read_whole(path).map_err(|error| Error::file(&name, error))?;
        Self::parse(&bytes).map_err(|why| Error::Other(format!("{name}: {why}")))
    }

    /// Reads a record from its bytes; an error says why they are none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut run: Option<Run> = None;
        let mut cases = BTreeMap::new();
        let mut running: Vec<String> = Vec::new();
        let (mut end, mut bad_lines) = (None, Vec::new());
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(Entry::Run(next)) => match &run {
                    Some(_) if !next.resumed => bad_lines.push((index + 1, "a second run in one record".to_owned())),
                    Some(_) => {
                        end = None;
                        // What ran when the first part ended died there, whether or not the second part says so.
                        for case in running.drain(..) {
                            let result = died(&case);
                            cases.entry(case).or_insert(result);
                        }
                    }
                    None => run = Some(*next),
                },
                Ok(Entry::Start(start)) => {
                    running.retain(|case| *case != start.case);
                    running.push(start.case);
                }
                Ok(Entry::Case(case)) => {
                    running.retain(|name| *name != case.case);
                    cases.insert(case.case.clone(), *case);
                }
                Ok(Entry::End(last)) => end = Some(last),
                Err(error) => bad_lines.push((index + 1, error.to_string())),
            }
        }
        let Some(run) = run else {
            let why =
                bad_lines.first().map_or_else(|| "it is empty".to_owned(), |(line, why)| format!("line {line}: {why}"));
            return Err(format!("no record of this suite ({why})"));
        };
        let died_in = if end.is_some() { Vec::new() } else { running };
        for case in &died_in {
            cases.insert(case.clone(), died(case));
        }
        Ok(Self { run, cases, end, died_in, bad_lines })
    }

    /// The verdicts, counted.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.cases.values().for_each(|case| counts.add(case.verdict));
        counts
    }
}

/// The result of a case that never got one; the area and axes are those of its name.
pub fn died(case: &str) -> CaseResult {
    CaseResult {
        case: case.to_owned(),
        area: case.split("::").next().unwrap_or_default().to_owned(),
        axes: Axes::default(),
        statements: Vec::new(),
        verdict: Verdict::Error,
        reason: Some(DIED.to_owned()),
        lacks: None,
        variant: None,
        micros: 0,
        log: Vec::new(),
    }
}
