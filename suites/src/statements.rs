//! The catalogue of statements, `statements/*.toml`, and which of them the cases check.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use uffd_harness::case::{AxisValue, Case, Declaration};

/// Whether a document states it or only the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A document states it.
    Promise,
    /// Only the code does, or kernels contradict the document.
    Observed,
}

/// One testable statement.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Area and number, such as `COPY-005`.
    pub id: String,
    /// The statement.
    pub statement: String,
    /// Where it is stated: man page and section, rst section, header comment, or the kernel's function.
    pub source: String,
    /// The first kernel for which it holds, in words.
    pub since: String,
    /// The memory classes it is about; none if it does not depend on memory.
    pub memory: Vec<String>,
    /// The register modes it is about; none if it does not depend on the mode.
    pub modes: Vec<String>,
    /// What checking it needs, in words.
    pub needs: Vec<String>,
    /// Whether a document states it.
    pub class: Class,
    /// The disputes it is part of.
    #[serde(default)]
    pub quirks: Vec<String>,
    /// What a document says to the contrary, and what kernels do.
    #[serde(default)]
    pub disputed: Option<String>,
    /// Why it cannot be checked on ordinary machines.
    #[serde(default)]
    pub not_checkable: Option<String>,
    /// On which kernels a probe has seen it.
    #[serde(default)]
    pub measured: String,
    /// Whether it is about exactly the pairs of memory and mode that cannot be registered.
    #[serde(default)]
    pub impossible_pairs: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    statement: Vec<Statement>,
}

macro_rules! files {
    ($($area:literal),+ $(,)?) => {
        /// Every file of the catalogue: its area and its text.
        const FILES: &[(&str, &str)] = &[$(($area, include_str!(concat!("../statements/", $area, ".toml")))),+];
    };
}

files!(
    "create",
    "api",
    "register",
    "unregister",
    "fault",
    "poll",
    "copy",
    "zeropage",
    "continue",
    "writeprotect",
    "wake",
    "move",
    "poison",
    "rwprotect",
    "set_mode",
    "event",
    "interplay",
    "scan",
    "lifecycle",
);

/// Every statement, area by area.
///
/// # Panics
/// If a file of the catalogue, which is part of the program, is not as it should be; a unit test reads them all.
pub fn all() -> &'static [Statement] {
    static ALL: OnceLock<Vec<Statement>> = OnceLock::new();
    ALL.get_or_init(|| {
        FILES
            .iter()
            .flat_map(|(area, text)| match parse(text) {
                Ok(statements) => statements,
                Err(error) => panic!("statements/{area}.toml: {error}"),
            })
            .collect()
    })
}

/// The statements of one file of the catalogue.
pub fn parse(text: &str) -> Result<Vec<Statement>, toml::de::Error> {
    toml::from_str::<File>(text).map(|file| file.statement)
}

/// The statement of this id, in any case of letters.
pub fn find(id: &str) -> Option<&'static Statement> {
    all().iter().find(|statement| statement.id.eq_ignore_ascii_case(id))
}

/// A memory class and a register mode for which a statement is to be checked; either may not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cell {
    /// The memory class.
    pub memory: Option<String>,
    /// The register mode.
    pub mode: Option<String>,
}

/// What is checked of one statement.
#[derive(Debug, Clone, Serialize)]
pub struct Coverage {
    /// The statement's id.
    pub id: String,
    /// Its class.
    pub class: Class,
    /// The cases that name it.
    pub cases: Vec<String>,
    /// Where it applies and no case checks it.
    pub holes: Vec<Cell>,
    /// Why it cannot be checked on ordinary machines.
    pub not_checkable: Option<String>,
}

impl Coverage {
    /// Whether every cell of it is checked.
    pub fn is_checked(&self) -> bool {
        !self.cases.is_empty() && self.holes.is_empty()
    }
}

/// Pairs that no kernel registers: anonymous memory has no page cache, and a regular file takes asynchronous WP alone.
fn impossible(memory: &str, mode: &str) -> bool {
    matches!((memory, mode), ("anon" | "anon-thp", "minor") | ("file", "missing" | "minor" | "rwp"))
}

impl Statement {
    /// Every cell in which it is to be checked.
    pub fn cells(&self) -> Vec<Cell> {
        let or_none = |list: &[String]| -> Vec<Option<String>> {
            if list.is_empty() { vec![None] } else { list.iter().cloned().map(Some).collect() }
        };
        let mut cells = Vec::new();
        for memory in or_none(&self.memory) {
            for mode in or_none(&self.modes) {
                if let (Some(memory), Some(mode)) = (&memory, &mode)
                    && impossible(memory, mode)
                    && !self.impossible_pairs
                {
                    continue;
                }
                cells.push(Cell { memory: memory.clone(), mode });
            }
        }
        cells
    }

    /// Whether a case that names this statement checks it in that cell.
    fn is_checked_by(&self, case: &Declaration, cell: &Cell) -> bool {
        let axis = |name: &str| case.axes.iter().find(|value: &&AxisValue| value.axis == name).map(|axis| &axis.value);
        let class = case.memory.map(|memory| memory.class().name().to_owned()).or_else(|| axis("memory").cloned());
        // A case without the axis is about the only value there is.
        let memory = match (&cell.memory, class) {
            (None, _) => true,
            (Some(wanted), Some(class)) => *wanted == class,
            (Some(_), None) => self.memory.len() == 1,
        };
        let mode = match (&cell.mode, case.mode, axis("mode")) {
            (None, _, _) => true,
            (Some(wanted), Some(mode), _) => mode.names().any(|name| name == wanted),
            (Some(wanted), None, Some(value)) => value.split('+').any(|name| name == wanted),
            (Some(_), None, None) => self.modes.len() == 1,
        };
        memory && mode
    }

    /// What the cases check of it.
    pub fn coverage(&self, cases: &[Case]) -> Coverage {
        let naming: Vec<&Declaration> = cases
            .iter()
            .map(|case| &case.declaration)
            .filter(|case| case.statements.iter().any(|id| *id == self.id))
            .collect();
        let holes =
            self.cells().into_iter().filter(|cell| !naming.iter().any(|case| self.is_checked_by(case, cell))).collect();
        Coverage {
            id: self.id.clone(),
            class: self.class,
            cases: naming.iter().map(|case| case.name.clone()).collect(),
            holes,
            not_checkable: self.not_checkable.clone(),
        }
    }
}

/// Ids that cases name and the catalogue does not know, and ids that it holds twice.
pub fn defects(cases: &[Case]) -> Vec<String> {
    let mut known = BTreeSet::new();
    let mut defects: Vec<String> = all()
        .iter()
        .filter(|statement| !known.insert(statement.id.as_str()))
        .map(|statement| format!("{} stands twice in the catalogue", statement.id))
        .collect();
    for case in cases {
        for id in &case.declaration.statements {
            if !known.contains(id) {
                defects.push(format!("{} names {id}, which the catalogue does not know", case.declaration.name));
            }
        }
    }
    defects
}
