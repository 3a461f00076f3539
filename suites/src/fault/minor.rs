//! Minor faults: the page cache has the page, this mapping does not.

use super::faulting::{Faulting, access_did, flags, holds, is_unmapped, told};
use super::missing::allocate;
use crate::prelude::*;

const OFFSET: usize = 0x123;

/// An access to a page that only the page cache has is a minor fault: MINOR, with WRITE for a write, and nothing else.
#[apply(every_memory)]
fn cached_page_is_a_minor_fault(memory: Memory, #[values(Access::Read, Access::Write)] access: Access) -> Outcome {
    begin!(statements: ["FAULT-014", "FAULT-015", "FAULT-008"], axes: [memory, Mode::MINOR, access])?;
    let scene = Faulting::new(memory, Mode::MINOR, 2)?;
    let (neighbour, page) = (scene.page(0), scene.page(1));
    let waiter = Actor::access(access, page.at(OFFSET))?;
    let sleep = waiter.falls_asleep()?;
    scene.uffd.polls(libc::POLLIN)?;
    told(&scene.uffd, flags(Mode::MINOR, access), page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    waiter.is_still_in(sleep)?;
    is_unmapped(page)?;
    scene.end_fault(1)?;
    access_did(page, scene.holds(1), access, OFFSET, waiter.is_woken()?)?;
    is_unmapped(neighbour)?;
    scene.uffd.has_nothing_to_read()
}

/// The scene of the cases below: page 0 is cached, page 1 is a hole of the file; both unmapped here.
fn cached_and_hole(memory: Memory, mode: Mode) -> Result<Scene, Stop> {
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    let alias = region.alias()?;
    alias.page(0).fill(Scene::cached(0));
    given::register(&uffd, region.range(), mode)?;
    Ok(Scene { uffd, region, alias: Some(alias), mode, features: 0 })
}

/// With MINOR alone a hole is no fault: the kernel gives a page of zeros and says nothing; a cached page still faults.
#[apply(one_of_each_class)]
fn a_hole_is_not_told_in_minor_mode_alone(
    memory: Memory,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(statements: ["FAULT-016"], axes: [memory, Mode::MINOR, access])?;
    let scene = cached_and_hole(memory, Mode::MINOR)?;
    let hole = scene.page(1);
    let value = Actor::access(access, hole.at(OFFSET))?.does_not_wait()?;
    access_did(hole, Pattern::ZERO, access, OFFSET, value)?;
    scene.uffd.has_nothing_to_read()?;
    Actor::access(access, scene.page(0).at(OFFSET))?.falls_asleep()?;
    told(&scene.uffd, flags(Mode::MINOR, access), scene.page(0).start, 0)?;
    scene.uffd.has_nothing_to_read()
}

/// With MISSING and MINOR a hole is a missing fault and a cached page a minor one; each has its own resolution.
#[apply(one_of_each_class)]
fn missing_and_minor_are_told_apart(memory: Memory, #[values(Access::Read, Access::Write)] access: Access) -> Outcome {
    begin!(statements: ["FAULT-017"], axes: [memory, Mode::MISSING_MINOR, access])?;
    let scene = cached_and_hole(memory, Mode::MISSING_MINOR)?;
    let (cached, hole) = (scene.page(0), scene.page(1));
    let for_hole = Actor::access(access, hole.at(OFFSET))?;
    let asleep = for_hole.falls_asleep()?;
    let for_cached = Actor::access(access, cached.at(OFFSET))?;
    for_cached.falls_asleep()?;
    told(&scene.uffd, flags(Mode::MISSING, access), hole.start, 0)?;
    told(&scene.uffd, flags(Mode::MINOR, access), cached.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    scene.resolve(Resolver::Continue, 0, 1, true)?.does(cached.size as u64)?;
    access_did(cached, Scene::cached(0), access, OFFSET, for_cached.is_woken()?)?;
    for_hole.is_still_in(asleep)?;
    scene.resolve(Resolver::Copy, 1, 1, true)?.does(hole.size as u64)?;
    access_did(hole, Scene::filled(Resolver::Copy, 1), access, OFFSET, for_hole.is_woken()?)?;
    scene.uffd.has_nothing_to_read()
}

/// A page that was only allocated to the file is a minor fault, not a missing one, and holds zeros.
#[rstest]
#[test_attr(registered(conformance))]
fn allocated_pages_are_minor(
    #[values(Memory::ShmemMemfd, Memory::ShmemPrivate, Memory::HugetlbMemfd, Memory::HugetlbMemfdPrivate)]
    memory: Memory,
) -> Outcome {
    begin!(statements: ["FAULT-014", "FAULT-015", "FAULT-017"], axes: [memory, Mode::MISSING_MINOR])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(1)?;
    let page = region.page(0);
    allocate(&region, page)?;
    given::register(&uffd, region.range(), Mode::MISSING_MINOR)?;
    let waiter = Actor::access(Access::Read, page.at(OFFSET))?;
    waiter.falls_asleep()?;
    told(&uffd, flags(Mode::MINOR, Access::Read), page.start, 0)?;
    uffd.has_nothing_to_read()?;
    uffd.continue_range(page.range(), 0).does(page.size as u64)?;
    access_did(page, Pattern::ZERO, Access::Read, OFFSET, waiter.is_woken()?)
}

/// A page that CONTINUE mapped, and one that was mapped before, do not fault any more.
#[apply(one_of_each_class)]
fn mapped_pages_are_no_minor_fault(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-014", "FAULT-015"], axes: [memory, Mode::MINOR])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    let alias = region.alias()?;
    alias.page(0).fill(Scene::cached(0));
    holds(region.page(0), Scene::cached(0))?;
    // Cached only now, so that the access to its neighbour cannot have mapped it as well.
    alias.page(1).fill(Scene::cached(1));
    given::register(&uffd, region.range(), Mode::MINOR)?;
    uffd.continue_range(region.page(1).range(), 0).does(region.page_size() as u64)?;
    for index in 0..2 {
        let page = region.page(index);
        let value = Actor::access(Access::Read, page.at(OFFSET))?.does_not_wait()?;
        access_did(page, Scene::cached(index), Access::Read, OFFSET, value)?;
    }
    uffd.has_nothing_to_read()
}
