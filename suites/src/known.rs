//! Known deviations, `known.toml`: what a released kernel does otherwise, with the evidence.
//!
//! The list never turns a failure into a pass: it only gives it the verdict `known`, on the kernels where it was seen, and
//! only if the case fails there in the way that was seen.

use std::sync::OnceLock;

use serde::Deserialize;
use uffd_harness::case::Case;
use uffd_harness::kernel::Kernel;

/// One deviation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The statement that does not hold.
    pub statement: String,
    /// The cases that show it: a name in which `*` stands for anything.
    pub cases: String,
    /// The series where it was seen, such as `6.12`.
    pub kernels: Vec<String>,
    /// What the failure's text holds.
    pub shows: String,
    /// What happens there.
    pub happens: String,
    /// Where it is described or mended upstream.
    pub reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    known: Vec<Known>,
}

/// Every known deviation.
///
/// # Panics
/// If `known.toml`, which is part of the program, is not as it should be; a unit test reads it.
pub fn all() -> &'static [Known] {
    static ALL: OnceLock<Vec<Known>> = OnceLock::new();
    ALL.get_or_init(|| match parse(include_str!("../known.toml")) {
        Ok(known) => known,
        Err(error) => panic!("known.toml: {error}"),
    })
}

/// The known deviations of a file.
pub fn parse(text: &str) -> Result<Vec<Known>, toml::de::Error> {
    toml::from_str::<File>(text).map(|file| file.known)
}

/// Whether `name` is of the form of `pattern`, in which `*` stands for anything.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((first, rest)) => name.strip_prefix(first).is_some_and(|name| {
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| matches(rest, &name[at..]))
        }),
    }
}

/// Whether a release such as `6.12.107-cloud-amd64` is of the series `6.12`.
fn is_of_series(release: &str, series: &str) -> bool {
    release.strip_prefix(series).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Says of a failed case whether it is a known deviation of this kernel: what happens, and the reference.
pub fn judge(case: &Case, failure: &str, kernel: &Kernel) -> Option<String> {
    all()
        .iter()
        .find(|known| {
            known.kernels.iter().any(|series| is_of_series(&kernel.release, series))
                && matches(&known.cases, &case.declaration.name)
                && case.declaration.statements.contains(&known.statement.as_str())
                && failure.contains(&known.shows)
        })
        .map(|known| format!("{}: {} ({})", known.statement, known.happens, known.reference))
}
