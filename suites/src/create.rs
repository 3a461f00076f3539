//! Creation of the descriptor: userfaultfd(2).

use crate::prelude::*;

/// A flag that nobody defined is refused with `EINVAL`.
#[rstest]
#[test_attr(registered(conformance))]
fn unknown_flags_are_refused() -> Outcome {
    begin!(statements: ["CREATE-004"])?;
    ensure_eq!(Uffd::create(0x4 | UFFD_USER_MODE_ONLY).err(), Some(Errno::EINVAL), "userfaultfd with flag 4");
    Ok(())
}
