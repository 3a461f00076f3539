//! Missing faults: which accesses give one, and what the message says.

use uffd_harness::kernel;

use super::faulting::{Faulting, access_did, flags, holds, is_unmapped, told};
use crate::prelude::*;

/// A byte in the middle of a page, at no special boundary.
const OFFSET: usize = 0x123;

/// The first access to a page blocks the thread and queues one message: read or write, and no other flag.
#[apply(every_memory)]
fn first_access_blocks_and_is_told(memory: Memory, #[values(Access::Read, Access::Write)] access: Access) -> Outcome {
    begin!(statements: ["FAULT-001", "FAULT-002", "FAULT-007", "FAULT-008"], axes: [memory, Mode::MISSING, access])?;
    let scene = Faulting::new(memory, Mode::MISSING, 2)?;
    let (neighbour, page) = (scene.page(0), scene.page(1));
    scene.uffd.polls(0)?;
    scene.uffd.has_nothing_to_read()?;
    let waiter = Actor::access(access, page.at(OFFSET))?;
    let sleep = waiter.falls_asleep()?;
    scene.uffd.polls(libc::POLLIN)?;
    told(&scene.uffd, flags(Mode::MISSING, access), page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    waiter.is_still_in(sleep)?;
    is_unmapped(page)?;
    scene.end_fault(1)?;
    access_did(page, scene.holds(1), access, OFFSET, waiter.is_woken()?)?;
    is_unmapped(neighbour)?;
    scene.uffd.has_nothing_to_read()
}

/// Only pages of the registered range fault: their neighbours in the same mapping are populated without a message.
#[apply(one_of_each_class)]
fn neighbours_of_the_range_do_not_fault(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-001"], axes: [memory, Mode::MISSING])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(3)?;
    let page = region.page(1);
    given::register(&uffd, page.range(), Mode::MISSING)?;
    for neighbour in [region.page(0), region.page(2)] {
        let value = Actor::access(Access::Write, neighbour.at(OFFSET))?.does_not_wait()?;
        access_did(neighbour, Pattern::ZERO, Access::Write, OFFSET, value)?;
    }
    uffd.has_nothing_to_read()?;
    is_unmapped(page)?;
    for offset in [0, page.size - 1] {
        Actor::access(Access::Read, page.at(offset))?.falls_asleep()?;
        told(&uffd, 0, page.start, 0)?;
    }
    uffd.has_nothing_to_read()
}

/// The message goes to the userfaultfd with which the page is registered, and to no other.
#[rstest]
#[test_attr(registered(conformance))]
fn each_range_is_told_to_its_own_userfaultfd(#[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-001"], axes: [memory, Mode::MISSING])?;
    let region = memory.map(2)?;
    let uffds = [given::uffd(0)?, given::uffd(0)?];
    for (index, uffd) in uffds.iter().enumerate() {
        given::register(uffd, region.page(index).range(), Mode::MISSING)?;
    }
    for (index, uffd) in uffds.iter().enumerate().rev() {
        Actor::access(Access::Read, region.page(index).at(OFFSET))?.falls_asleep()?;
        uffds[1 - index].has_nothing_to_read()?;
        told(uffd, 0, region.page(index).start, 0)?;
        uffd.has_nothing_to_read()?;
    }
    Ok(())
}

/// Pages that were read or written before they were registered never fault; one that was not still does.
#[apply(every_memory)]
fn populated_pages_do_not_fault(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-010"], axes: [memory, Mode::MISSING])?;
    // The first access may have populated a whole transparent huge page: the hole is behind it.
    let hole = if memory == Memory::AnonThp { kernel::thp_size() / memory.page_size() } else { 2 };
    let uffd = given::uffd(0)?;
    let region = memory.map(hole + 1)?;
    let (written, read, hole) = (region.page(0), region.page(1), region.page(hole));
    written.fill(Pattern::new(1));
    holds(read, Pattern::ZERO)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    for (page, pattern) in [(written, Pattern::new(1)), (read, Pattern::ZERO)] {
        for access in [Access::Read, Access::Write] {
            let value = Actor::access(access, page.at(OFFSET))?.does_not_wait()?;
            access_did(page, pattern, access, OFFSET, value)?;
        }
    }
    uffd.has_nothing_to_read()?;
    Actor::access(Access::Read, hole.at(OFFSET))?.falls_asleep()?;
    told(&uffd, 0, hole.start, 0)?;
    uffd.has_nothing_to_read()
}

/// Pages that an ioctl filled do not fault any more, neither for reading nor for writing.
#[apply(one_of_each_class)]
fn filled_pages_do_not_fault(
    memory: Memory,
    #[values(Resolver::Copy, Resolver::Zeropage)] resolver: Resolver,
) -> Outcome {
    begin!(statements: ["FAULT-010"], axes: [memory, Mode::MISSING, resolver])?;
    let scene = Faulting::new(memory, Mode::MISSING, 2)?;
    let page = scene.page(0);
    scene.resolve(resolver, 0, 1, true)?.does(page.size as u64)?;
    for access in [Access::Write, Access::Read] {
        let value = Actor::access(access, page.at(OFFSET))?.does_not_wait()?;
        access_did(page, Scene::filled(resolver, 0), access, OFFSET, value)?;
    }
    is_unmapped(scene.page(1))?;
    scene.uffd.has_nothing_to_read()
}

/// A page that the page cache has is mapped without a message; only a hole of the file is missing.
#[rstest]
#[test_attr(registered(conformance))]
fn cached_pages_are_not_missing(
    #[values(
        Memory::ShmemAnon,
        Memory::ShmemMemfd,
        Memory::ShmemPrivate,
        Memory::HugetlbMemfd,
        Memory::HugetlbMemfdPrivate
    )]
    memory: Memory,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(statements: ["FAULT-012", "FAULT-013"], axes: [memory, Mode::MISSING, access])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    let alias = region.alias()?;
    let (cached, hole) = (region.page(0), region.page(1));
    alias.page(0).fill(Pattern::new(1));
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let value = Actor::access(access, cached.at(OFFSET))?.does_not_wait()?;
    access_did(cached, Pattern::new(1), access, OFFSET, value)?;
    uffd.has_nothing_to_read()?;
    Actor::access(access, hole.at(OFFSET))?.falls_asleep()?;
    told(&uffd, flags(Mode::MISSING, access), hole.start, 0)?;
    uffd.has_nothing_to_read()
}

/// A page that was only allocated to the file is no hole of it: it is mapped, all zeros, without a message.
#[rstest]
#[test_attr(registered(conformance))]
fn allocated_pages_are_not_missing(
    #[values(Memory::ShmemMemfd, Memory::ShmemPrivate, Memory::HugetlbMemfd, Memory::HugetlbMemfdPrivate)]
    memory: Memory,
) -> Outcome {
    begin!(statements: ["FAULT-012", "FAULT-013"], axes: [memory, Mode::MISSING])?;
    let scene = Faulting::new(memory, Mode::MISSING, 2)?;
    let (allocated, hole) = (scene.page(0), scene.page(1));
    allocate(&scene.region, allocated)?;
    let value = Actor::access(Access::Read, allocated.at(OFFSET))?.does_not_wait()?;
    access_did(allocated, Pattern::ZERO, Access::Read, OFFSET, value)?;
    scene.uffd.has_nothing_to_read()?;
    Actor::access(Access::Read, hole.at(OFFSET))?.falls_asleep()?;
    scene.is_told_of(1)?;
    scene.uffd.has_nothing_to_read()
}

/// `fallocate` of the file behind a page of a region.
pub fn allocate(region: &Region, page: Page) -> Outcome {
    let Some(file) = region.file() else { return Err(Stop::Error("the region has no file".to_owned())) };
    let offset = (page.start - region.start()) as u64;
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, page.size as u64)
        .map_err(|errno| Stop::Error(format!("fallocate: {errno}")))
}

/// In a range that could hold a transparent huge page each base page faults, and is resolved, alone.
#[rstest]
#[test_attr(registered(conformance))]
fn each_base_page_of_a_huge_page_faults_alone(#[values(Memory::AnonThp)] memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-053"], axes: [memory, Mode::MISSING])?;
    let scene = Faulting::new(memory, Mode::MISSING, 1)?;
    let last = scene.region.page_count() - 1;
    let indexes = [0, 1, last];
    let mut waiters = Vec::new();
    for index in indexes {
        waiters.push(scene.waiter(index, OFFSET)?);
        scene.is_told_of(index)?;
    }
    for (done, index) in indexes.into_iter().enumerate() {
        scene.end_fault(index)?;
        scene.went_through(&[(&waiters[done].0, index, OFFSET)])?;
        for (waiter, sleep) in &waiters[done + 1..] {
            waiter.is_still_in(*sleep)?;
        }
    }
    for index in 2..last {
        is_unmapped(scene.page(index))?;
    }
    scene.uffd.has_nothing_to_read()
}
