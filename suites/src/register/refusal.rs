//! Refused registrations: they leave no trace.

use crate::prelude::*;

/// The registration is refused with this errno; it wrote nothing, registered nothing and split no mapping.
#[track_caller]
pub(super) fn of(uffd: &Uffd, region: &Region, range: Range, mode: u64, errno: Errno) -> Outcome {
    uffd.register(range, mode).is_refused(errno)?;
    tracking::nothing(region)?;
    tracking::is_one_mapping(region)
}

/// After refusals an access is still nobody's business, and a valid registration works, with its faults.
#[track_caller]
pub(super) fn left_no_trace(uffd: &Uffd, region: &Region) -> Outcome {
    tracking::nothing(region)?;
    tracking::is_one_mapping(region)?;
    // One access to a transparent huge page would populate all of it.
    if region.memory() != Memory::AnonThp {
        tracking::served(uffd, region.page(region.page_count() - 1), Access::Read)?;
    }
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_MISSING)
        .does(super::ioctls::expected(region.memory().is_hugetlb(), Mode::MISSING))?;
    tracking::just(region, &[(region.range(), Mode::MISSING)])?;
    tracking::delivered(uffd, region.page(0), Mode::MISSING)?;
    // A refusal takes nothing from what is registered already.
    uffd.register(region.range(), 0).is_refused(Errno::EINVAL)?;
    tracking::just(region, &[(region.range(), Mode::MISSING)])
}
