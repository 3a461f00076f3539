//! Private anonymous memory, with and without transparent huge pages.

use super::region::{Backing, Place};
use crate::error::Named as _;
use crate::{Result, sys};

/// Maps private anonymous memory at `place`.
pub(super) fn map(place: Place) -> Result<Backing> {
    place.map_fixed(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, None)?;
    Ok(Backing::None)
}

/// Maps private anonymous memory at `place` and asks for transparent huge pages.
pub(super) fn map_thp(place: Place) -> Result<Backing> {
    let backing = map(place)?;
    sys::advise(place.start, place.len, libc::MADV_HUGEPAGE).named("madvise(MADV_HUGEPAGE)")?;
    Ok(backing)
}
