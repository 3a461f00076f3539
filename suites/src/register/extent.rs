//! Ranges over holes and over several mappings; how a registration splits mappings and merges them again.

use std::os::fd::AsFd as _;

use uffd_harness::memory::{regular_file, vma};

use super::ioctls;
use crate::prelude::*;

/// A hole in the range does not keep the rest from being registered, and what is mapped there later is not.
#[rstest]
#[test_attr(registered(conformance))]
fn a_hole_stays_unregistered(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
    #[values(At::First, At::Middle, At::Last)] at: At,
) -> Outcome {
    begin!(statements: ["REG-017"], axes: [memory, Mode::MISSING, at])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(3)?);
    let index = at.index(3);
    let hole = region.page(index);
    lay::hole(hole)?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_MISSING)
        .does(ioctls::expected(memory.is_hugetlb(), Mode::MISSING))?;
    tracking::just(&region, &tracking::beside(&region, index))?;
    lay::anon(hole, libc::PROT_READ | libc::PROT_WRITE)?;
    tracking::just(&region, &tracking::beside(&region, index))?;
    tracking::served(&uffd, hole, Access::Write)?;
    for other in (0..3).filter(|other| *other != index) {
        tracking::delivered(&uffd, region.page(other), Mode::MISSING)?;
    }
    Ok(())
}

/// A range over mappings of several kinds registers each of them, and each delivers its faults.
#[rstest]
#[test_attr(registered(conformance))]
fn all_mappings_of_the_range_are_registered() -> Outcome {
    begin!(statements: ["REG-018"], axes: [Memory::Anon, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(6)?);
    let (read, write) = (libc::PROT_READ, libc::PROT_WRITE);
    let shared = Memory::ShmemMemfd.map(1)?;
    let file = lay::file_of(&shared)?;
    lay::anon(region.page(1), read)?;
    lay::file(region.pages(2, 1), read | write, libc::MAP_SHARED, file)?;
    lay::file(region.pages(3, 1), read | write, libc::MAP_PRIVATE, file)?;
    lay::anon(region.page(4), libc::PROT_NONE)?;
    let range = region.pages(0, 5);
    uffd.register(range, UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&region, &[(range, Mode::MISSING)])?;
    for index in 0..4 {
        tracking::delivered(&uffd, region.page(index), Mode::MISSING)?;
    }
    tracking::served(&uffd, region.page(5), Access::Read)?;
    Ok(())
}

/// One mapping that cannot be registered refuses the whole range, wherever it lies.
#[rstest]
#[test_attr(registered(conformance))]
fn one_unfit_mapping_refuses_the_range(#[values(At::First, At::Middle, At::Last)] at: At) -> Outcome {
    begin!(statements: ["REG-019", "REG-047"], axes: [at])?;
    let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(5)?);
    let unfit = region.page(at.index(5));
    let file = regular_file(unfit.size)?;
    lay::file(unfit.range(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE, file.as_fd())?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
    tracking::nothing(&region)?;
    for index in [0, 4] {
        tracking::served(&uffd, region.page(index), Access::Read)?;
    }
    lay::anon(unfit, libc::PROT_READ | libc::PROT_WRITE)?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&region, &[(region.range(), Mode::MISSING)])?;
    tracking::delivered(&uffd, region.page(2), Mode::MISSING)?;
    Ok(())
}

/// A registration in part of a mapping splits it; unregistering makes it one again.
#[rstest]
#[test_attr(registered(conformance))]
fn a_part_splits_the_mapping_and_merges_again(
    #[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory,
    #[values(At::First, At::Middle, At::Last)] at: At,
) -> Outcome {
    begin!(statements: ["REG-034"], axes: [memory, Mode::MISSING, at])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(3)?);
    tracking::is_one_mapping(&region)?;
    let part = region.pages(at.index(3), 1);
    given::register(&uffd, part, Mode::MISSING)?;
    let split = if at == At::Middle { 3 } else { 2 };
    ensure_eq!(vma::count(region.range())?, split, "mappings after UFFDIO_REGISTER of a part");
    uffd.unregister(part).succeeds()?;
    tracking::nothing(&region)?;
    tracking::is_one_mapping(&region)
}

/// Neighbouring parts that are registered alike, one after the other, are one mapping.
#[rstest]
#[test_attr(registered(conformance))]
fn neighbouring_parts_merge(#[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["REG-034"], axes: [memory, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(3)?);
    for index in [2, 0, 1] {
        given::register(&uffd, region.pages(index, 1), Mode::MISSING)?;
    }
    tracking::is_one_mapping(&region)?;
    tracking::just(&region, &[(region.range(), Mode::MISSING)])
}
