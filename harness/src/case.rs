//! What a case is and how it is registered.
//!
//! A case is a function that begins with [`begin!`](crate::begin). To list it, the harness calls it while nothing
//! is set up: `begin!` then notes what the case declares and returns early. To run it, the harness calls it in a process of
//! its own.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::memory::Memory;
use crate::mode::Mode;
use crate::need::{HUGEPAGES, Lack, Need, Who};

/// How a case's function ends.
pub type Outcome = Result<(), Stop>;

/// Why a case ends before its last line.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stop {
    /// It has only declared itself.
    Declared,
    /// A promise is broken.
    Fail(String),
    /// Something it needs turned out to be missing.
    Skip(Lack),
    /// The harness could not do its work.
    Error(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Machine(reason) => Self::Skip(Lack { who: Who::Machine, reason }),
            Error::Call { errno: nix::errno::Errno::ENOMEM, .. } if has_little_address_space() => {
                let reason = format!("{error}, for the address space is limited: ulimit -v unlimited");
                Self::Skip(Lack { who: Who::Machine, reason })
            }
            other => Self::Error(other.to_string()),
        }
    }
}

/// Whether a limit on the address space may be what a mapping has met.
fn has_little_address_space() -> bool {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that was checked holds.
    Pass,
    /// A promise is broken.
    Fail,
    /// Broken as the list of known deviations says of this kernel.
    Known,
    /// Not tried, for a reason.
    Skip,
    /// The harness could not do its work: never a pass, never the kernel's fault.
    Error,
}

impl Verdict {
    /// The word in records.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Known => "known",
            Self::Skip => "skip",
            Self::Error => "error",
        }
    }
}

/// A value on one of a case's axes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxisValue {
    /// The axis, such as `memory`.
    pub axis: String,
    /// The value, such as `shmem-memfd`.
    pub value: String,
}

/// Something that a case is repeated over.
pub trait Axis {
    /// The axis's name.
    fn axis(&self) -> &'static str;
    /// This value's name.
    fn value(&self) -> String;
    /// What the value needs beyond memory type and mode.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }
    /// The memory type, if this is that axis.
    fn memory(&self) -> Option<Memory> {
        None
    }
    /// The register mode, if this is that axis.
    fn mode(&self) -> Option<Mode> {
        None
    }
    /// Whether this value can meet that memory type and mode at all.
    fn possible(&self, _memory: Option<Memory>, _mode: Option<Mode>) -> bool {
        true
    }
}

impl Axis for Memory {
    fn axis(&self) -> &'static str {
        "memory"
    }
    fn value(&self) -> String {
        self.name().to_owned()
    }
    fn needs(&self) -> Vec<Need> {
        vec![Need::Memory(*self)]
    }
    fn memory(&self) -> Option<Memory> {
        Some(*self)
    }
}

impl Axis for Mode {
    fn axis(&self) -> &'static str {
        "mode"
    }
    fn value(&self) -> String {
        self.to_string()
    }
    fn mode(&self) -> Option<Mode> {
        Some(*self)
    }
    fn possible(&self, memory: Option<Memory>, _mode: Option<Mode>) -> bool {
        memory.is_none_or(|memory| memory.can_fault(*self))
    }
}

/// What a case says of itself in its first statement.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// `area::case::axis::axis`
    pub name: String,
    /// The module.
    pub area: String,
    /// The values of its axes, in order.
    pub axes: Vec<AxisValue>,
    /// The statements it checks.
    pub statements: Vec<&'static str>,
    /// What it needs.
    pub needs: Vec<Need>,
    /// The memory type it is about, if it has that axis.
    pub memory: Option<Memory>,
    /// The register mode it is about, if it has that axis.
    pub mode: Option<Mode>,
    /// Where it is written.
    pub source: String,
    /// Whether its axis values can meet at all; if not it is not a case.
    possible: bool,
}

impl Declaration {
    /// The hugepages that must be free for it: their size in bytes and number.
    pub fn hugepages(&self) -> Option<(usize, usize)> {
        let memory = self.memory.filter(|memory| memory.is_hugetlb());
        let named = self.needs.iter().find_map(|need| match need {
            Need::Hugepages(count) => Some(*count),
            _ => None,
        });
        match (memory, named) {
            (Some(memory), _) => {
                // A private mapping reserves pages for itself, beside those that its file has for the page cache.
                let twice = !memory.is_shared() && self.mode.is_some_and(|mode| mode.has(Mode::MINOR));
                Some((memory.page_size(), named.unwrap_or(if twice { 2 * HUGEPAGES } else { HUGEPAGES })))
            }
            (None, Some(count)) => Some((crate::kernel::default_hugepage_size(), count)),
            (None, None) => None,
        }
    }

    /// The first of its needs that is missing here.
    pub fn lack(&self, here: &crate::kernel::Kernel) -> Option<Lack> {
        if !here.machine.procfs {
            let why = "/proc is not mounted, or not that of this pid namespace, so threads cannot be watched";
            return Some(Lack { who: Who::Machine, reason: format!("{why}: mount -t proc proc /proc") });
        }
        let (size, count) = self.hugepages().unwrap_or_default();
        let lack = self.needs.iter().find_map(|need| need.lack(here, count));
        // Pages that a case takes beside its memory, or without any.
        lack.or_else(|| if count == 0 { None } else { crate::need::lacks_hugepages(size, here, count) })
    }
}

/// One registered function: what rstest generated for one combination of axis values.
#[derive(Debug)]
pub struct Registered {
    /// The path rstest gave it, for messages about the suite's own defects.
    pub path: &'static str,
    /// The function.
    pub run: fn() -> Outcome,
}

/// Every function that [`conformance!`](crate::conformance) registered, in no order.
#[linkme::distributed_slice]
pub static REGISTERED: [Registered];

/// A case, ready to be run.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it says of itself.
    pub declaration: Declaration,
    /// Its function.
    pub run: fn() -> Outcome,
}

impl Case {
    /// A case without axes, statements and needs, for runs that are about the harness itself.
    pub fn named(name: &str, run: fn() -> Outcome) -> Self {
        let declaration = Declaration {
            name: name.to_owned(),
            area: name.split("::").next().unwrap_or_default().to_owned(),
            axes: Vec::new(),
            statements: Vec::new(),
            needs: Vec::new(),
            memory: None,
            mode: None,
            source: String::new(),
            possible: true,
        };
        Self { declaration, run }
    }
}

enum Phase {
    Declaring(Option<Declaration>),
    Running,
}

thread_local! {
    static PHASE: RefCell<Phase> = const { RefCell::new(Phase::Running) };
    static VARIANT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The area and name in the path of a case's function: `crate::area::..::name`.
fn area_and_name(function: &str) -> (String, String) {
    let area = function.split("::").nth(1).unwrap_or_default();
    let name = function.rsplit("::").next().unwrap_or_default();
    (area.trim_start_matches("r#").to_owned(), name.to_owned())
}

/// The work of [`begin!`](crate::begin).
pub fn begin(
    function: &str,
    source: String,
    statements: &[&'static str],
    axes: &[&dyn Axis],
    needs: &[Need],
) -> Outcome {
    PHASE.with_borrow_mut(|phase| {
        let Phase::Declaring(slot) = phase else { return Ok(()) };
        let (area, case) = area_and_name(function);
        let memory = axes.iter().find_map(|axis| axis.memory());
        let mode = axes.iter().find_map(|axis| axis.mode());
        let mut all: Vec<Need> = axes.iter().flat_map(|axis| axis.needs()).collect();
        all.extend(mode.map(|mode| Need::of_mode(memory, mode)).unwrap_or_default());
        all.extend(needs);
        let values: Vec<AxisValue> =
            axes.iter().map(|axis| AxisValue { axis: axis.axis().to_owned(), value: axis.value() }).collect();
        let mut name = format!("{area}::{case}");
        for value in &values {
            name.push_str("::");
            name.push_str(&value.value);
        }
        *slot = Some(Declaration {
            name,
            area,
            axes: values,
            statements: statements.to_vec(),
            needs: all,
            memory,
            mode,
            source,
            possible: axes.iter().all(|axis| axis.possible(memory, mode)),
        });
        Err(Stop::Declared)
    })
}

/// Notes which of the accepted outcomes of an observed statement this kernel showed.
pub fn variant(seen: impl Into<String>) {
    let seen = seen.into();
    VARIANT.with_borrow_mut(|variant| match variant {
        Some(before) if *before == seen => {}
        Some(before) => *before = format!("{before}, {seen}"),
        None => *variant = Some(seen),
    });
}

/// What [`variant`] noted since the last call.
pub fn take_variant() -> Option<String> {
    VARIANT.take()
}

/// Every case, by name. An error if a registered function does not begin with [`begin!`](crate::begin), if two cases have one
/// name, or if there is no case at all: a suite that is empty must not look like one that passes.
pub fn all() -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for registered in REGISTERED {
        PHASE.set(Phase::Declaring(None));
        let outcome = (registered.run)();
        let declared = match PHASE.replace(Phase::Running) {
            Phase::Declaring(declared) => declared,
            Phase::Running => None,
        };
        match (declared, outcome) {
            (Some(declaration), Err(Stop::Declared)) => {
                if declaration.possible {
                    cases.push(Case { declaration, run: registered.run });
                }
            }
            _ => return Err(Error::Other(format!("{}: does not begin with begin!(..)?", registered.path))),
        }
    }
    cases.sort_by(|a, b| a.declaration.name.cmp(&b.declaration.name));
    if let Some(pair) = cases.windows(2).find(|pair| pair[0].declaration.name == pair[1].declaration.name) {
        return Err(Error::Other(format!("two cases are named {}", pair[0].declaration.name)));
    }
    if cases.is_empty() {
        return Err(Error::Other("this build holds no cases".to_owned()));
    }
    Ok(cases)
}

/// Registers the function it is applied to: `#[test_attr(apply(conformance))]` under `#[rstest]`.
#[macro_export]
macro_rules! conformance {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident () $(-> $result:ty)? $body:block) => {
        #[allow(non_snake_case)]
        $visibility fn $name() $(-> $result)? $body
        const _: () = {
            #[$crate::linkme::distributed_slice($crate::case::REGISTERED)]
            #[linkme(crate = $crate::linkme)]
            static REGISTERED: $crate::case::Registered = $crate::case::Registered {
                path: concat!(module_path!(), "::", stringify!($name)),
                run: $name,
            };
        };
    };
}

/// The first statement of every case: what it checks, what it is repeated over, what it needs.
///
/// ```text
/// begin!(statements: ["COPY-005"], axes: [memory, mode], needs: [Need::KernelFaults])?;
/// ```
#[macro_export]
macro_rules! begin {
    (statements: [$($statement:literal),+ $(,)?] $(, axes: [$($axis:expr),* $(,)?])? $(, needs: [$($need:expr),* $(,)?])? $(,)?) => {{
        fn here() {}
        let function = ::std::any::type_name_of_val(&here);
        $crate::case::begin(
            function.strip_suffix("::here").unwrap_or(function),
            format!("{}:{}", file!(), line!()),
            &[$($statement),+],
            &[$($(&$axis as &dyn $crate::case::Axis),*)?],
            &[$($($need),*)?],
        )
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_named_by_area_and_function() {
        let (area, name) = area_and_name("uffd_conformance::copy::errors::unaligned_is_refused");
        assert_eq!((area.as_str(), name.as_str()), ("copy", "unaligned_is_refused"));
        assert_eq!(area_and_name("uffd_conformance::r#move::holes").0, "move");
    }
}
