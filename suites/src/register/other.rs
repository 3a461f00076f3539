//! Ranges of another userfaultfd.

use super::ioctls;
use crate::prelude::*;

/// What another userfaultfd has registered is refused with `EBUSY`, in whole, in part, and with free pages around it.
#[apply(one_of_each_class)]
fn a_range_of_another_userfaultfd_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["REG-019", "REG-032", "REG-047"], axes: [memory, Mode::MISSING])?;
    let (owner, other, region) = (given::uffd(0)?, given::uffd(0)?, memory.map(4)?);
    let owned = region.pages(1, 2);
    given::register(&owner, owned, Mode::MISSING)?;
    let (waiter, sleep) = tracking::delivered(&owner, region.page(1), Mode::MISSING)?;
    for (first, count) in [(1, 2), (1, 1), (2, 1), (0, 4), (0, 2), (2, 2)] {
        let range = region.pages(first, count);
        other.register(range, UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EBUSY)?;
    }
    tracking::just(&region, &[(owned, Mode::MISSING)])?;
    waiter.is_still_in(sleep)?;
    tracking::delivered(&owner, region.page(2), Mode::MISSING)?;
    other.has_nothing_to_read()?;
    tracking::served(&other, region.page(0), Access::Read)?;
    let free = region.pages(3, 1);
    other.register(free, UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(memory.is_hugetlb(), Mode::MISSING))?;
    tracking::delivered(&other, region.page(3), Mode::MISSING)?;
    owner.has_nothing_to_read()
}

/// Ranges that two userfaultfds have registered alike side by side do not become one: each hears of its own faults alone.
#[apply(one_of_each_class)]
fn neighbours_keep_their_owners(memory: Memory) -> Outcome {
    begin!(statements: ["PLAY-027"], axes: [memory, Mode::MISSING])?;
    let (owner, other, region) = (given::uffd(0)?, given::uffd(0)?, memory.map(3)?);
    let owned = region.pages(1, 1);
    given::register(&owner, owned, Mode::MISSING)?;
    for index in [2, 0] {
        given::register(&other, region.pages(index, 1), Mode::MISSING)?;
    }
    let (before, _) = tracking::delivered(&other, region.page(0), Mode::MISSING)?;
    owner.has_nothing_to_read()?;
    let (between, sleep) = tracking::delivered(&owner, region.page(1), Mode::MISSING)?;
    other.has_nothing_to_read()?;
    let (behind, _) = tracking::delivered(&other, region.page(2), Mode::MISSING)?;
    owner.has_nothing_to_read()?;
    other.close().map_err(broken)?;
    before.is_woken()?;
    behind.is_woken()?;
    between.is_still_in(sleep)?;
    tracking::just(&region, &[(owned, Mode::MISSING)])
}

/// Another mode does not help against the owner, and a range that its owner has given up is free.
#[apply(one_of_each_class)]
fn a_range_is_free_after_its_owner(memory: Memory, #[values(Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode) -> Outcome {
    begin!(statements: ["REG-032", "REG-047"], axes: [memory, mode])?;
    let Scene { uffd: owner, region, .. } = &tracking::before(memory, mode, 1)?;
    let other = tracking::uffd(mode)?;
    given::register(owner, region.range(), Mode::MISSING)?;
    other.register(region.range(), mode.bits()).is_refused(Errno::EBUSY)?;
    tracking::just(region, &[(region.range(), Mode::MISSING)])?;
    owner.unregister(region.range()).succeeds()?;
    other.register(region.range(), mode.bits()).does(ioctls::expected(memory.is_hugetlb(), mode))?;
    tracking::delivered(&other, region.page(0), mode)?;
    owner.has_nothing_to_read()
}

/// A range is free as soon as the last descriptor of its owner is closed, and no sooner.
#[rstest]
#[test_attr(registered(conformance))]
fn a_range_is_free_after_the_last_close() -> Outcome {
    begin!(statements: ["REG-032", "REG-047"], axes: [Memory::Anon, Mode::MISSING])?;
    let (owner, other, region) = (given::uffd(0)?, given::uffd(0)?, Memory::Anon.map(2)?);
    let range = region.range();
    given::register(&owner, range, Mode::MISSING)?;
    let second = owner.duplicate().map_err(|errno| Stop::Error(errno.to_string()))?;
    // A duplicate is the same userfaultfd: it may register what that has already.
    second.register(range, UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    owner.close().map_err(|errno| Stop::Error(errno.to_string()))?;
    other.register(range, UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EBUSY)?;
    let (waiter, _) = tracking::delivered(&second, region.page(0), Mode::MISSING)?;
    second.close().map_err(|errno| Stop::Error(errno.to_string()))?;
    tracking::nothing(&region)?;
    waiter.is_woken()?;
    other.register(range, UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::delivered(&other, region.page(1), Mode::MISSING)?;
    Ok(())
}
