//! Memory that `UFFDIO_CONTINUE` has nothing to map for, and memory for which it does though nothing offered it.

use crate::family::{self, Call, first_byte, limits};
use crate::prelude::*;

/// Anonymous memory has no page cache: refused with `EINVAL`, and the result field says so.
#[rstest]
#[test_attr(registered(conformance))]
fn anonymous_memory_is_refused(
    #[values(Memory::Anon, Memory::AnonThp)] memory: Memory,
    #[values(Mode::MISSING, Mode::WP, Mode::MISSING_WP)] mode: Mode,
) -> Outcome {
    begin!(
        statements: ["CONT-010"],
        axes: [memory, mode],
        // Any feature of minor faults tells that the ioctl exists.
        needs: [Need::Feature(UFFD_FEATURE_MINOR_HUGETLBFS)]
    )?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    let offered = given::register(&uffd, region.range(), mode)?;
    ensure!(offered >> _UFFDIO_CONTINUE & 1 == 0, "UFFDIO_CONTINUE is offered: {offered:#x}");
    for dontwake in [0, UFFDIO_CONTINUE_MODE_DONTWAKE] {
        uffd.continue_range(region.page(0).range(), dontwake).fails(Errno::EINVAL)?;
    }
    family::all_absent([region.page(0), region.page(1)])?;
    uffd.has_nothing_to_read()
}

/// A range that is registered for missing faults only is mapped all the same.
#[rstest]
#[test_attr(registered(conformance))]
fn a_range_registered_for_missing_faults_is_mapped(
    #[values(Memory::ShmemMemfd, Memory::ShmemPrivate, Memory::HugetlbMemfd, Memory::HugetlbMemfdPrivate)]
    memory: Memory,
) -> Outcome {
    begin!(
        statements: ["CONT-011"],
        axes: [memory, Mode::MISSING],
        needs: [
            Need::Feature(if memory.is_hugetlb() { UFFD_FEATURE_MINOR_HUGETLBFS } else { UFFD_FEATURE_MINOR_SHMEM }),
            family::hugepages(memory, 2),
        ]
    )?;
    let region = memory.map(2)?;
    let alias = region.alias()?;
    let uffd = given::uffd(0)?;
    let offered = given::register(&uffd, region.range(), Mode::MISSING)?;
    ensure!(offered >> _UFFDIO_CONTINUE & 1 == 0, "UFFDIO_CONTINUE is offered: {offered:#x}");
    let page = region.page(0);
    let waiter = Actor::access(Access::Read, page.at(0))?;
    let sleep = waiter.falls_asleep()?;
    uffd.fault_at(0, page.start)?;
    uffd.continue_range(page.range(), 0).fails(Errno::EFAULT)?;
    waiter.is_still_in(sleep)?;
    alias.page(0).fill(Pattern::new(1));
    uffd.continue_range(page.range(), 0).does(page.size as u64)?;
    ensure_eq!(waiter.is_woken()?, first_byte(Pattern::new(1)), "the byte that the waiter read");
    family::holds(page, Pattern::new(1))?;
    family::all_absent([region.page(1)])?;
    uffd.has_nothing_to_read()
}

/// A minor fault of a private mapping may be resolved by a copy too, which leaves the file alone.
#[rstest]
#[test_attr(registered(conformance))]
fn a_minor_fault_of_a_private_mapping_is_resolved_by_a_copy(
    #[values(Memory::ShmemPrivate)] memory: Memory,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(statements: ["CONT-013"], axes: [memory, Mode::MINOR, access])?;
    let scene = Scene::new(memory, Mode::MINOR, 2)?;
    let page = scene.page(0);
    let waiter = Actor::access(access, page.at(0))?;
    waiter.falls_asleep()?;
    let write = if access == Access::Write { UFFD_PAGEFAULT_FLAG_WRITE } else { 0 };
    scene.uffd.fault_at(UFFD_PAGEFAULT_FLAG_MINOR | write, page.start)?;
    let source = given::source(page.size, Pattern::new(1))?;
    scene.uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
    let byte = if access == Access::Write { WRITTEN } else { first_byte(Pattern::new(1)) };
    ensure_eq!(waiter.is_woken()?, byte, "the byte of the waiter");
    ensure_eq!(uffd_harness::sys::load_byte(page.at(0)), byte, "the first byte of the page");
    uffd_harness::sys::store_byte(page.at(0), first_byte(Pattern::new(1)));
    family::holds(page, Pattern::new(1))?;
    let Some(alias) = &scene.alias else { return Ok(()) };
    family::holds(alias.page(0), Scene::cached(0))?;
    family::all_absent([scene.page(1)])?;
    scene.uffd.has_nothing_to_read()
}

/// A page that went with the end of its file is not there to be mapped.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_mapped_behind_the_end_of_the_file(
    #[values(Memory::ShmemMemfd, Memory::ShmemTmpfs, Memory::ShmemPrivate, Memory::HugetlbMemfd)] memory: Memory,
) -> Outcome {
    begin!(statements: ["CONT-017"], axes: [memory, Mode::MINOR])?;
    limits::nothing_is_filled_behind_the_end_of_the_file(Call::Continue, memory, &[Errno::EFAULT])
}
