//! Write-protect faults: userfaultfd.rst, "Write Protect Notifications".

use uffd_harness::kernel;

use super::faulting::{Faulting, access_did, flags, holds, is_unmapped, told};
use crate::prelude::*;

const OFFSET: usize = 0x123;

/// WP and WRITE, and nothing else.
const WP_WRITE: u64 = UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE;

/// A write to a protected page blocks and is told as WP and WRITE; reads of it go on all the while.
#[apply(every_memory)]
fn write_to_a_protected_page_is_told(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-019", "FAULT-008"], axes: [memory, Mode::WP])?;
    let scene = Faulting::new(memory, Mode::WP, 2)?;
    let page = scene.page(1);
    let value = Actor::access(Access::Read, page.at(OFFSET))?.does_not_wait()?;
    access_did(page, scene.holds(1), Access::Read, OFFSET, value)?;
    scene.uffd.has_nothing_to_read()?;
    let waiter = Actor::access(Access::Write, page.at(OFFSET))?;
    let sleep = waiter.falls_asleep()?;
    scene.uffd.polls(libc::POLLIN)?;
    told(&scene.uffd, WP_WRITE, page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    let value = Actor::access(Access::Read, page.at(OFFSET))?.does_not_wait()?;
    access_did(page, scene.holds(1), Access::Read, OFFSET, value)?;
    waiter.is_still_in(sleep)?;
    scene.end_fault(1)?;
    access_did(page, scene.holds(1), Access::Write, OFFSET, waiter.is_woken()?)?;
    // The neighbour is protected as before.
    Actor::access(Access::Write, scene.page(0).at(OFFSET))?.falls_asleep()?;
    told(&scene.uffd, WP_WRITE, scene.page(0).start, 0)?;
    scene.uffd.has_nothing_to_read()
}

/// In a range that is registered for WP but not protected, neither populated nor unpopulated pages fault.
#[apply(one_of_each_class)]
fn unprotected_pages_do_not_fault(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-021"], axes: [memory, Mode::WP])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    region.page(0).fill(Pattern::new(1));
    given::register(&uffd, region.range(), Mode::WP)?;
    for (index, pattern) in [(0, Pattern::new(1)), (1, Pattern::ZERO)] {
        for access in [Access::Read, Access::Write] {
            let value = Actor::access(access, region.page(index).at(OFFSET))?.does_not_wait()?;
            access_did(region.page(index), pattern, access, OFFSET, value)?;
        }
    }
    uffd.has_nothing_to_read()
}

/// Protection of one page leaves its neighbours writable, and its removal makes the page so again.
#[apply(one_of_each_class)]
fn only_the_protected_page_faults(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-019", "FAULT-021"], axes: [memory, Mode::WP])?;
    let scene = Faulting::new(memory, Mode::WP, 3)?;
    scene.uffd.writeprotect(scene.region.pages(0, 3), 0).succeeds()?;
    scene.protect(scene.page(1).range())?;
    for index in [0, 2] {
        let value = Actor::access(Access::Write, scene.page(index).at(OFFSET))?.does_not_wait()?;
        access_did(scene.page(index), scene.holds(index), Access::Write, OFFSET, value)?;
    }
    scene.uffd.has_nothing_to_read()?;
    let (waiter, _) = scene.waiter(1, OFFSET)?;
    told(&scene.uffd, WP_WRITE, scene.page(1).start, 0)?;
    scene.end_fault(1)?;
    scene.went_through(&[(&waiter, 1, OFFSET)])?;
    Actor::access(Access::Write, scene.page(1).at(OFFSET))?.does_not_wait()?;
    scene.uffd.has_nothing_to_read()
}

/// A write to a protected page of zeros, which only a read has populated, is told like any other.
#[rstest]
#[test_attr(registered(conformance))]
fn write_to_a_protected_zero_page_is_told(#[values(Memory::Anon, Memory::AnonThp)] memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-020"], axes: [memory, Mode::WP])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    let page = region.page(1);
    for index in 0..2 {
        holds(region.page(index), Pattern::ZERO)?;
    }
    given::register(&uffd, region.range(), Mode::WP)?;
    uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let waiter = Actor::access(Access::Write, page.at(OFFSET))?;
    waiter.falls_asleep()?;
    told(&uffd, WP_WRITE, page.start, 0)?;
    uffd.has_nothing_to_read()?;
    let value = Actor::access(Access::Write, region.page(0).at(OFFSET))?.does_not_wait()?;
    access_did(region.page(0), Pattern::ZERO, Access::Write, OFFSET, value)?;
    uffd.writeprotect(page.range(), 0).succeeds()?;
    access_did(page, Pattern::ZERO, Access::Write, OFFSET, waiter.is_woken()?)?;
    uffd.has_nothing_to_read()
}

/// In a private mapping a page of the file is protected like a page of its own, and the file stays as it is.
#[rstest]
#[test_attr(registered(conformance))]
fn write_to_a_protected_page_of_the_file_is_told(
    #[values(Memory::ShmemPrivate, Memory::HugetlbMemfdPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["FAULT-019"], axes: [memory, Mode::WP])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(1)?;
    let file = region.alias()?;
    let page = region.page(0);
    file.page(0).fill(Pattern::new(1));
    holds(page, Pattern::new(1))?;
    given::register(&uffd, region.range(), Mode::WP)?;
    uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let waiter = Actor::access(Access::Write, page.at(OFFSET))?;
    waiter.falls_asleep()?;
    told(&uffd, WP_WRITE, page.start, 0)?;
    holds(page, Pattern::new(1))?;
    uffd.writeprotect(page.range(), 0).succeeds()?;
    access_did(page, Pattern::new(1), Access::Write, OFFSET, waiter.is_woken()?)?;
    holds(file.page(0), Pattern::new(1))?;
    uffd.has_nothing_to_read()
}

/// The features that make unpopulated pages of this memory protectable.
fn unpopulated(memory: Memory) -> u64 {
    if memory.is_anon() { UFFD_FEATURE_WP_UNPOPULATED } else { UFFD_FEATURE_WP_HUGETLBFS_SHMEM }
}

/// With MISSING and WP a protected hole is missing first; a write is told as WP once COPY has filled it protected.
#[apply(one_of_each_class)]
fn a_protected_hole_is_missing_before_it_is_protected(
    memory: Memory,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(
        statements: ["FAULT-022"],
        axes: [memory, Mode::MISSING_WP, access],
        needs: [Need::Feature(unpopulated(memory))]
    )?;
    let scene = Scene::with_features(memory, Mode::MISSING_WP, 2, unpopulated(memory))?;
    let page = scene.page(0);
    scene.uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let waiter = Actor::access(access, page.at(OFFSET))?;
    let sleep = waiter.falls_asleep()?;
    told(&scene.uffd, flags(Mode::MISSING, access), page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    is_unmapped(page)?;
    let source = given::source(page.size, Pattern::new(1))?;
    scene.uffd.copy(page.range(), source.start() as u64, UFFDIO_COPY_MODE_WP).does(page.size as u64)?;
    if access == Access::Write {
        waiter.faults_again(sleep)?;
    } else {
        access_did(page, Pattern::new(1), access, OFFSET, waiter.is_woken()?)?;
        Actor::access(Access::Write, page.at(OFFSET))?.falls_asleep()?;
    }
    told(&scene.uffd, WP_WRITE, page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    holds(page, Pattern::new(1))
}

/// With WP alone a write to a protected hole is told as WP and WRITE; once unprotected the page is one of zeros.
#[apply(one_of_each_class)]
fn write_to_a_protected_hole_is_told(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-023"], axes: [memory, Mode::WP], needs: [Need::Feature(unpopulated(memory))])?;
    let scene = Scene::with_features(memory, Mode::WP, 2, unpopulated(memory))?;
    let page = scene.page(0);
    scene.uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let waiter = Actor::access(Access::Write, page.at(OFFSET))?;
    waiter.falls_asleep()?;
    told(&scene.uffd, WP_WRITE, page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    let value = Actor::access(Access::Write, scene.page(1).at(OFFSET))?.does_not_wait()?;
    access_did(scene.page(1), Pattern::ZERO, Access::Write, OFFSET, value)?;
    scene.uffd.writeprotect(page.range(), 0).succeeds()?;
    access_did(page, Pattern::ZERO, Access::Write, OFFSET, waiter.is_woken()?)?;
    scene.uffd.has_nothing_to_read()
}

/// With WP alone a read of a protected hole goes through to zeros; the write after it is told.
#[apply(one_of_each_class)]
fn read_of_a_protected_hole_leaves_it_protected(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-023"], axes: [memory, Mode::WP], needs: [Need::Feature(unpopulated(memory))])?;
    let scene = Scene::with_features(memory, Mode::WP, 1, unpopulated(memory))?;
    let page = scene.page(0);
    scene.uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let value = Actor::access(Access::Read, page.at(OFFSET))?.does_not_wait()?;
    access_did(page, Pattern::ZERO, Access::Read, OFFSET, value)?;
    scene.uffd.has_nothing_to_read()?;
    Actor::access(Access::Write, page.at(OFFSET))?.falls_asleep()?;
    told(&scene.uffd, WP_WRITE, page.start, 0)?;
    holds(page, Pattern::ZERO)
}

/// Without WP_UNPOPULATED protection passes over what is not there: a hole of anonymous memory does not fault.
#[rstest]
#[test_attr(registered(conformance))]
fn anonymous_holes_are_not_protected_without_wp_unpopulated(
    #[values(Memory::Anon, Memory::AnonThp)] memory: Memory,
) -> Outcome {
    begin!(statements: ["FAULT-023"], axes: [memory, Mode::WP])?;
    let scene = Scene::new(memory, Mode::WP, 1)?;
    let page = scene.page(0);
    scene.uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let value = Actor::access(Access::Write, page.at(OFFSET))?.does_not_wait()?;
    access_did(page, Pattern::ZERO, Access::Write, OFFSET, value)?;
    scene.uffd.has_nothing_to_read()
}

/// Protection of one base page of a transparent huge page is its own: the huge page's other pages stay writable.
#[rstest]
#[test_attr(registered(conformance))]
fn one_base_page_of_a_huge_page_is_protected_alone(#[values(Memory::AnonThp)] memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-019"], axes: [memory, Mode::WP])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(1)?;
    let last = kernel::thp_size() / memory.page_size() - 1;
    region.page(last).fill(Pattern::new(1));
    given::register(&uffd, region.range(), Mode::WP)?;
    uffd.writeprotect(region.page(last).range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    for index in [0, last - 1] {
        Actor::access(Access::Write, region.page(index).at(OFFSET))?.does_not_wait()?;
    }
    uffd.has_nothing_to_read()?;
    let waiter = Actor::access(Access::Write, region.page(last).at(OFFSET))?;
    waiter.falls_asleep()?;
    told(&uffd, WP_WRITE, region.page(last).start, 0)?;
    uffd.writeprotect(region.page(last).range(), 0).succeeds()?;
    access_did(region.page(last), Pattern::new(1), Access::Write, OFFSET, waiter.is_woken()?)
}
