//! What `UFFDIO_UNREGISTER` takes from the pages: write-protection and read-write-protection, but not poison.

use uffd_harness::sys;

use crate::look::Look as _;
use crate::prelude::*;

/// Write-protection of the range is gone with its mark and its faults, that of the page next to it stays.
#[apply(one_of_each_class)]
fn write_protection_ends_with_the_range(memory: Memory, #[values(Mode::WP, Mode::MISSING_WP)] mode: Mode) -> Outcome {
    begin!(statements: ["UNREG-011"], axes: [memory, mode])?;
    let Scene { uffd, region, .. } = &tracking::before(memory, Mode::WP, 3)?;
    given::register(uffd, region.range(), mode)?;
    let whole = region.pages(0, 3);
    uffd.writeprotect(whole, UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let (waiter, sleep) = tracking::delivered_once_more(uffd, region.page(2), Mode::WP)?;
    uffd.unregister(region.pages(0, 2)).succeeds()?;
    for index in [0, 1] {
        let page = region.page(index);
        page.is_not_protected()?;
        page.holds(Scene::cached(index))?;
        tracking::served(uffd, page, Access::Write)?;
    }
    region.page(2).is_protected()?;
    waiter.is_still_in(sleep)
}

/// Protection that was put on pages before they were there goes as well: they can be written once they come.
#[rstest]
#[test_attr(registered(conformance))]
fn marks_of_absent_pages_are_removed(
    #[values(Memory::ShmemMemfd, Memory::ShmemPrivate, Memory::HugetlbMemfd, Memory::HugetlbMemfdPrivate)]
    memory: Memory,
) -> Outcome {
    begin!(statements: ["UNREG-011"], axes: [memory, Mode::WP])?;
    absent_pages_lose_their_mark(memory, 0)
}

/// The same in anonymous memory, where `UFFD_FEATURE_WP_UNPOPULATED` puts marks on absent pages.
#[rstest]
#[test_attr(registered(conformance))]
fn marks_of_unpopulated_pages_are_removed(#[values(Memory::Anon, Memory::AnonThp)] memory: Memory) -> Outcome {
    begin!(
        statements: ["UNREG-011"],
        axes: [memory, Mode::WP],
        needs: [Need::Feature(UFFD_FEATURE_WP_UNPOPULATED)]
    )?;
    absent_pages_lose_their_mark(memory, UFFD_FEATURE_WP_UNPOPULATED)
}

fn absent_pages_lose_their_mark(memory: Memory, features: u64) -> Outcome {
    let Scene { uffd, region, .. } = &Scene::with_features(memory, Mode::WP, 2, features)?;
    let (page, kept) = (region.page(0), region.page(1));
    uffd.writeprotect(region.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    page.is_protected()?;
    kept.is_protected()?;
    uffd.unregister(page.range()).succeeds()?;
    page.is_not_mapped()?;
    kept.is_protected()?;
    tracking::served(uffd, page, Access::Write)?;
    page.is_not_protected()?;
    tracking::delivered_once_more(uffd, kept, Mode::WP)?;
    Ok(())
}

/// A range that is registered again has none of its former protection.
#[apply(one_of_each_class)]
fn protection_does_not_come_back(memory: Memory) -> Outcome {
    begin!(statements: ["UNREG-011"], axes: [memory, Mode::WP])?;
    nothing_comes_back(memory, Mode::WP)
}

/// It is the same of read-write protection.
#[apply(one_of_each_class)]
fn read_write_protection_does_not_come_back(memory: Memory) -> Outcome {
    begin!(statements: ["UNREG-012"], axes: [memory, Mode::RWP])?;
    nothing_comes_back(memory, Mode::RWP)
}

fn nothing_comes_back(memory: Memory, mode: Mode) -> Outcome {
    let Scene { uffd, region, .. } = &tracking::before(memory, mode, 1)?;
    let page = region.page(0);
    given::register(uffd, page.range(), mode)?;
    tracking::protect(uffd, page, mode)?;
    uffd.unregister(page.range()).succeeds()?;
    given::register(uffd, page.range(), mode)?;
    page.is_not_protected()?;
    tracking::served(uffd, page, tracking::access(mode))?;
    tracking::delivered(uffd, page, mode)?;
    Ok(())
}

/// Read-write-protected pages of the range are accessible again, with their contents; the page next to it stays protected.
#[apply(one_of_each_class)]
fn read_write_protection_ends_with_the_range(
    memory: Memory,
    #[values(Mode::RWP, Mode::MISSING_RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["UNREG-012"], axes: [memory, mode])?;
    let Scene { uffd, region, .. } = &tracking::before(memory, Mode::RWP, 3)?;
    given::register(uffd, region.range(), mode)?;
    uffd.rwprotect(region.pages(0, 3), UFFDIO_RWPROTECT_MODE_RWP).succeeds()?;
    let (waiter, sleep) = tracking::delivered_once_more(uffd, region.page(2), Mode::RWP)?;
    uffd.unregister(region.pages(0, 2)).succeeds()?;
    for index in [0, 1] {
        let page = region.page(index);
        page.is_not_protected()?;
        tracking::served(uffd, page, Access::Read)?;
        page.holds(Scene::cached(index))?;
        tracking::served(uffd, page, Access::Write)?;
    }
    region.page(2).is_protected()?;
    waiter.is_still_in(sleep)
}

/// A read-write-protected range can be unregistered although `mprotect` has taken all access from it.
#[rstest]
#[test_attr(registered(conformance))]
fn rwp_ends_without_access_rights(#[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["UNREG-013"], axes: [memory, Mode::RWP])?;
    let Scene { uffd, region, .. } = &tracking::before(memory, Mode::RWP, 1)?;
    let page = region.page(0);
    given::register(uffd, page.range(), Mode::RWP)?;
    tracking::protect(uffd, page, Mode::RWP)?;
    lay::protection(page.range(), libc::PROT_NONE)?;
    uffd.unregister(page.range()).succeeds()?;
    tracking::nothing(region)?;
    Actor::access(Access::Read, page.at(0))?.dies_of(libc::SIGSEGV)?;
    lay::protection(page.range(), libc::PROT_READ | libc::PROT_WRITE)?;
    tracking::served(uffd, page, Access::Read)?;
    page.holds(Scene::cached(0))?;
    tracking::served(uffd, page, Access::Write)?;
    Ok(())
}

/// A poisoned page stays poisoned, to readers and writers; the page next to it is served.
#[apply(one_of_each_class)]
fn poison_stays(memory: Memory) -> Outcome {
    begin!(
        statements: ["UNREG-014"],
        axes: [memory, Mode::MISSING],
        needs: [Need::Feature(UFFD_FEATURE_POISON)]
    )?;
    let Scene { uffd, region, .. } = &Scene::new(memory, Mode::MISSING, 2)?;
    let page = region.page(0);
    uffd.poison(page.range(), 0).does(page.size as u64)?;
    uffd.unregister(region.range()).succeeds()?;
    tracking::nothing(region)?;
    for access in [Access::Read, Access::Write] {
        Actor::access(access, page.at(0))?.dies_of(libc::SIGBUS)?;
    }
    uffd.has_nothing_to_read()?;
    ensure_eq!(tracking::served(uffd, region.page(1), Access::Read)?, 0, "the byte next to the poisoned page");
    ensure_eq!(sys::load(region.page(1).at(8)), 0, "a word next to the poisoned page");
    Ok(())
}
