//! What runs before this one left behind because they and their keepers were killed at once.

use super::{cgroup, pool};
use crate::sys::sysv;

/// Puts back and removes what is left of runs that are no more; says what that was.
///
/// As far as this user may; what others still use is left alone.
pub fn clean() -> Vec<String> {
    let mut cleaned = pool::take_back();
    let mut count = |number: usize, what: &str| {
        if number > 0 {
            let plural = if number == 1 { "" } else { "s" };
            cleaned.push(format!("{number} {what}{plural}"));
        }
    };
    count(cgroup::clean(), "memory control group");
    count(sysv::sweep(), "System V segment");
    cleaned
}
