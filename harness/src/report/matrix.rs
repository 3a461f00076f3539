//! The matrix as data: area and register mode by class of memory type, and several of them side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::case::Verdict;
use crate::memory::{Class, Memory};
use crate::mode::Mode;
use crate::need::Who;
use crate::record::{CaseResult, Recorded};

use super::text::{count, one_line};

/// What became of a case, as far as a matrix tells endings apart; from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Everything that was checked holds.
    Conformant,
    /// The kernel has no such thing.
    KernelLacks,
    /// The machine or the caller's rights do not allow it.
    MachineLacks,
    /// Not tried, and the record does not say who lacks what.
    Skipped,
    /// A known deviation.
    Known,
    /// A promise is broken.
    Broken,
    /// The harness could not do its work.
    Error,
}

impl Kind {
    /// Every kind, in the order in which a cell lists them.
    pub const ALL: [Self; 7] = [
        Self::Conformant,
        Self::Broken,
        Self::Known,
        Self::Error,
        Self::KernelLacks,
        Self::MachineLacks,
        Self::Skipped,
    ];

    /// What became of this case.
    pub fn of(case: &CaseResult) -> Self {
        match (case.verdict, case.lacks) {
            (Verdict::Pass, _) => Self::Conformant,
            (Verdict::Fail, _) => Self::Broken,
            (Verdict::Known, _) => Self::Known,
            (Verdict::Error, _) => Self::Error,
            (Verdict::Skip, Some(Who::Kernel)) => Self::KernelLacks,
            (Verdict::Skip, Some(Who::Machine)) => Self::MachineLacks,
            (Verdict::Skip, None) => Self::Skipped,
        }
    }

    /// The words of legends and lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Conformant => "conformant",
            Self::KernelLacks => "kernel lacks",
            Self::MachineLacks => "machine lacks",
            Self::Skipped => "skipped",
            Self::Known => "known",
            Self::Broken => "broken",
            Self::Error => "error",
        }
    }

    /// This many of them, as short as a cell wants it.
    fn counted(self, cases: usize) -> String {
        match self {
            Self::Conformant => format!("{cases} ok"),
            Self::KernelLacks => format!("{cases} k-lack"),
            Self::MachineLacks => format!("{cases} m-lack"),
            Self::Error => count(cases, "error"),
            other => format!("{cases} {}", other.word()),
        }
    }
}

/// The words that explain a matrix.
pub const LEGEND: &str = "A number: cases of which everything conforms. broken: a promise is broken. known: broken as \
    the list of known deviations says. kernel lacks, machine lacks: what the cases need (k-lack, m-lack beside others). \
    error: the harness could not do its work.";

/// How many cases ended how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tally(BTreeMap<Kind, usize>);

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, kind: Kind) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// How many ended so.
    pub fn of(&self, kind: Kind) -> usize {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// The worst ending among them.
    pub fn worst(&self) -> Option<Kind> {
        self.0.keys().next_back().copied()
    }

    /// What stands in the matrix.
    pub fn short(&self) -> String {
        let kinds: Vec<(Kind, usize)> =
            Kind::ALL.into_iter().map(|kind| (kind, self.of(kind))).filter(|(_, cases)| *cases > 0).collect();
        match kinds.as_slice() {
            [] => String::new(),
            [(Kind::Conformant, cases)] => cases.to_string(),
            [(kind @ (Kind::KernelLacks | Kind::MachineLacks | Kind::Skipped), _)] => kind.word().to_owned(),
            [(kind, cases)] => kind.counted(*cases),
            mixed => mixed.iter().map(|(kind, cases)| kind.counted(*cases)).collect::<Vec<_>>().join(" "),
        }
    }
}

impl FromIterator<Kind> for Tally {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut tally = Self::default();
        kinds.into_iter().for_each(|kind| tally.add(kind));
        tally
    }
}

/// A row: an area and a register mode, ordered by area, then from the single modes to their combinations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    area: String,
    rank: Vec<usize>,
    mode: Option<String>,
}

impl Row {
    fn new(area: &str, mode: Option<&str>) -> Self {
        let names: Vec<&str> = Mode::MISSING_WP_MINOR.and(Mode::RWP).names().collect();
        let mode = mode.map(one_line).filter(|mode| !mode.is_empty());
        let parts = mode.iter().flat_map(|mode| mode.split('+'));
        let mut rank: Vec<usize> =
            parts.map(|part| names.iter().position(|name| *name == part).unwrap_or(names.len())).collect();
        rank.insert(0, rank.len());
        let area = Some(one_line(area)).filter(|area| !area.is_empty()).unwrap_or_else(|| "–".to_owned());
        Self { area, rank, mode }
    }

    /// The area.
    pub fn area(&self) -> &str {
        &self.area
    }

    /// The register mode; a dash for cases without one.
    pub fn mode(&self) -> &str {
        self.mode.as_deref().unwrap_or("–")
    }
}

/// A column: a class of memory types, cases without memory, or memory that this build does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column(usize);

impl Column {
    /// Cases without a memory axis.
    pub const ANY: Self = Self(Class::ALL.len());
    /// Memory types that this build does not know.
    pub const OTHER: Self = Self(Class::ALL.len() + 1);

    fn of(memory: Option<&str>) -> Self {
        let Some(memory) = memory else { return Self::ANY };
        let class =
            Memory::named(memory).and_then(|memory| Class::ALL.iter().position(|class| *class == memory.class()));
        class.map_or(Self::OTHER, Self)
    }

    /// The name above the column.
    pub fn name(self) -> &'static str {
        match Class::ALL.get(self.0) {
            Some(class) => class.name(),
            None if self == Self::ANY => "any",
            None => "other",
        }
    }
}

/// Where a case stands. One that died has no axes in the record; its name holds their values.
fn place(case: &CaseResult) -> (Row, Column) {
    let named = |fits: fn(&str) -> bool| {
        let by_name = case.axes.0.is_empty() && case.verdict == Verdict::Error;
        case.case.split("::").skip(2).find(|value| by_name && fits(value))
    };
    let mode = case
        .axes
        .get("mode")
        .or_else(|| named(|value| value.split('+').all(|part| matches!(part, "missing" | "wp" | "minor" | "rwp"))));
    let memory = case.axes.get("memory").or_else(|| named(|value| Memory::named(value).is_some()));
    (Row::new(&case.area, mode), Column::of(memory))
}

/// The cases of one place in the matrix.
#[derive(Debug, Clone, Default)]
pub struct Cell<'a> {
    /// In the order of their names.
    pub cases: Vec<&'a CaseResult>,
}

impl Cell<'_> {
    /// How they ended.
    pub fn tally(&self) -> Tally {
        self.cases.iter().map(|case| Kind::of(case)).collect()
    }
}

/// The matrix of one record.
#[derive(Debug, Clone, Default)]
pub struct Matrix<'a> {
    /// The cells that hold cases.
    pub cells: BTreeMap<(Row, Column), Cell<'a>>,
}

impl<'a> Matrix<'a> {
    /// The matrix of this record.
    pub fn of(recorded: &'a Recorded) -> Self {
        let mut cells: BTreeMap<(Row, Column), Cell<'a>> = BTreeMap::new();
        for case in recorded.cases.values() {
            cells.entry(place(case)).or_default().cases.push(case);
        }
        Self { cells }
    }

    /// The rows, in order.
    pub fn rows(&self) -> Vec<&Row> {
        let rows: BTreeSet<&Row> = self.cells.keys().map(|(row, _)| row).collect();
        rows.into_iter().collect()
    }

    /// The columns that hold cases, in order.
    pub fn columns(&self) -> Vec<Column> {
        let columns: BTreeSet<Column> = self.cells.keys().map(|(_, column)| *column).collect();
        columns.into_iter().collect()
    }

    /// What stands at one place, if anything.
    pub fn cell(&self, row: &Row, column: Column) -> Option<&Cell<'a>> {
        self.cells.get(&(row.clone(), column))
    }
}

/// Several matrices side by side: a row for each area, mode and memory, a column for each record.
#[derive(Debug, Clone)]
pub struct SideBySide<'a> {
    /// The places, in order, with what stands there in each record.
    pub rows: Vec<((Row, Column), Vec<Cell<'a>>)>,
}

impl<'a> SideBySide<'a> {
    /// The matrices of these records.
    pub fn of(records: &'a [Recorded]) -> Self {
        let mut matrices: Vec<Matrix<'a>> = records.iter().map(Matrix::of).collect();
        let places: BTreeSet<(Row, Column)> = matrices.iter().flat_map(|matrix| matrix.cells.keys().cloned()).collect();
        let rows = places
            .into_iter()
            .map(|place| {
                let cells = matrices.iter_mut().map(|matrix| matrix.cells.remove(&place).unwrap_or_default()).collect();
                (place, cells)
            })
            .collect();
        Self { rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(kinds: &[(Kind, usize)]) -> String {
        kinds.iter().flat_map(|(kind, cases)| std::iter::repeat_n(*kind, *cases)).collect::<Tally>().short()
    }

    #[test]
    fn a_cell_says_what_became_of_its_cases() {
        assert_eq!(tally(&[]), "");
        assert_eq!(tally(&[(Kind::Conformant, 12)]), "12");
        assert_eq!(tally(&[(Kind::Broken, 3)]), "3 broken");
        assert_eq!(tally(&[(Kind::Known, 1)]), "1 known");
        assert_eq!(tally(&[(Kind::Error, 1)]), "1 error");
        assert_eq!(tally(&[(Kind::KernelLacks, 4)]), "kernel lacks");
        assert_eq!(tally(&[(Kind::MachineLacks, 4)]), "machine lacks");
        assert_eq!(tally(&[(Kind::Broken, 1), (Kind::Conformant, 11)]), "11 ok 1 broken");
        assert_eq!(tally(&[(Kind::KernelLacks, 2), (Kind::Conformant, 3), (Kind::Error, 1)]), "3 ok 1 error 2 k-lack");
        assert_eq!(tally(&[(Kind::Error, 2)]), "2 errors");
    }

    #[test]
    fn rows_go_from_single_modes_to_combinations() {
        let modes = [Some("missing+wp"), Some("rwp"), None, Some("what"), Some("minor"), Some("missing")];
        let mut rows: Vec<Row> = modes.into_iter().map(|mode| Row::new("copy", mode)).collect();
        rows.sort();
        let order: Vec<&str> = rows.iter().map(Row::mode).collect();
        assert_eq!(order, ["–", "missing", "minor", "rwp", "what", "missing+wp"]);
    }

    #[test]
    fn memory_types_stand_under_their_class() {
        assert_eq!(Column::of(Some("hugetlb-memfd-private")).name(), "hugetlb-private");
        assert_eq!(Column::of(None).name(), "any");
        assert_eq!(Column::of(Some("secret")).name(), "other");
    }

    #[test]
    fn a_case_that_died_stands_where_its_name_says() {
        let (row, column) = place(&crate::record::died("copy::atomic::shmem-memfd::missing+wp"));
        assert_eq!((row.area(), row.mode(), column.name()), ("copy", "missing+wp", "shmem"));
    }
}
