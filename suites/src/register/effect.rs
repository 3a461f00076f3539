//! What a registration does to pages that are there, and to faults of their neighbours.

use rustix::fs::ftruncate;
use uffd_harness::sys;

use crate::prelude::*;

/// What one page of page tables spans on x86-64, and so what two mappings may share.
const GIB: usize = 1 << 30;

/// A registration leaves the pages that are there in place, their contents too, and accesses to them go through.
#[apply(one_of_each_class)]
fn present_pages_stay_as_they_are(
    memory: Memory,
    #[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["REG-051"], axes: [memory, mode])?;
    let (uffd, region) = (tracking::uffd(mode)?, memory.map(2)?);
    for index in 0..2 {
        region.page(index).fill(Pattern::new(index as u64));
    }
    let states = || -> Result<Vec<_>, Stop> {
        (0..2)
            .map(|index| {
                let state = region.page(index).state()?;
                Ok((state.present(), state.swapped(), state.uffd_wp(), state.frame()))
            })
            .collect()
    };
    let before = states()?;
    // One page of a transparent huge page: what is left of it must stay as well.
    given::register(&uffd, region.pages(0, 1), mode)?;
    ensure_eq!(states()?, before, "the pages after UFFDIO_REGISTER: present, swapped, protected, frame");
    tracking::served(&uffd, region.page(0), Access::Read)?;
    for index in 0..2 {
        ensure_eq!(region.page(index).differs(Pattern::new(index as u64)), None, "page {index}");
    }
    tracking::served(&uffd, region.page(0), Access::Write)?;
    Ok(())
}

/// A fault in one page maps that page alone, not those around it that the page cache holds as well.
#[rstest]
#[test_attr(registered(conformance))]
fn neighbours_of_a_fault_stay_unmapped(
    #[values(Memory::ShmemMemfd, Memory::ShmemAnon, Memory::ShmemTmpfs, Memory::ShmemPrivate)] memory: Memory,
    #[values(Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["REG-054"], axes: [memory, mode])?;
    let (uffd, region) = (tracking::uffd(mode)?, memory.map(16)?);
    let alias = region.alias()?;
    for index in 0..16 {
        alias.page(index).fill(Scene::cached(index));
    }
    given::register(&uffd, region.range(), mode)?;
    let page = region.page(8);
    if mode == Mode::MINOR {
        let (waiter, _) = tracking::delivered(&uffd, page, mode)?;
        uffd.continue_range(page.range(), 0).does(page.size as u64)?;
        waiter.is_woken()?;
    } else {
        tracking::served(&uffd, page, Access::Read)?;
    }
    ensure_eq!(page.differs(Scene::cached(8)), None, "the page");
    for index in 0..16 {
        ensure_eq!(region.page(index).state()?.present(), index == 8, "whether page {index} is mapped");
    }
    Ok(())
}

/// Two mappings that may share page tables do not share faults: what one is registered for happens in it alone.
#[rstest]
#[test_attr(registered(conformance))]
fn shared_page_tables_are_unshared(
    #[values(Memory::HugetlbMemfd)] memory: Memory,
    #[values(Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["REG-055"], axes: [memory, mode], needs: [Need::Hugepages(2)])?;
    let (uffd, region) = (tracking::uffd(mode)?, memory.map(1)?);
    let file = lay::file_of(&region)?;
    ftruncate(file, GIB as u64).map_err(|errno| Stop::Error(format!("ftruncate: {errno}")))?;
    let [ours, theirs] = lay::aligned(file, GIB)?.map(|start| Page { start, size: region.page_size() });
    // The first mapping fills the page, the second finds its page table.
    theirs.fill(Scene::cached(0));
    ensure_eq!(ours.differs(Scene::cached(0)), None, "the second mapping");
    given::register(&uffd, Range::new(ours.start as u64, GIB as u64), mode)?;
    if mode != Mode::MINOR {
        // The page may have to be mapped anew.
        tracking::served(&uffd, ours, Access::Read)?;
    }
    let (waiter, sleep) = tracking::delivered(&uffd, ours, mode)?;
    tracking::served(&uffd, theirs, Access::Read)?;
    Actor::start(move || sys::store_byte(theirs.at(1), WRITTEN))?.does_not_wait()?;
    uffd.has_nothing_to_read()?;
    waiter.is_still_in(sleep)
}
