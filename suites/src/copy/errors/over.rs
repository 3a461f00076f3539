//! Destinations that are not empty: pages that are there in one form or another, and markers that stand for none.

use uffd_harness::{Error, sys};

use crate::family;
use crate::prelude::*;

/// A page that is there stays as it is, however it came there: written to, read from, or made inaccessible since.
#[apply(one_of_each_class)]
fn a_present_page_is_left_alone(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-006"], axes: [memory, Mode::MISSING])?;
    let region = memory.map(2)?;
    region.page(0).fill(Pattern::new(1));
    sys::load(region.page(1).at(0));
    let uffd = given::uffd(0)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let source = given::source(region.page_size(), Pattern::new(2))?;
    let copy = |index| uffd.copy(region.page(index).range(), source.start() as u64, 0);
    let protect = |protection| {
        let page = region.page(0);
        sys::protect(page.start, page.size, protection).map_err(|errno| Error::call("mprotect", errno))
    };
    copy(0).fails(Errno::EEXIST)?;
    copy(1).fails(Errno::EEXIST)?;
    protect(libc::PROT_NONE)?;
    copy(0).fails(Errno::EEXIST)?;
    protect(libc::PROT_READ | libc::PROT_WRITE)?;
    family::holds(region.page(0), Pattern::new(1))?;
    family::holds(region.page(1), Pattern::ZERO)?;
    uffd.has_nothing_to_read()?;
    if family::discard(region.page(0), memory)? {
        copy(0).does(region.page_size() as u64)?;
        family::holds(region.page(0), Pattern::new(2))?;
        family::holds(region.page(1), Pattern::ZERO)?;
    }
    Ok(())
}

/// A transparent huge page is not broken up for a copy into one of its pages.
#[rstest]
#[test_attr(registered(conformance))]
fn a_transparent_huge_page_is_left_alone() -> Outcome {
    begin!(statements: ["COPY-045"], axes: [Memory::AnonThp, Mode::MISSING])?;
    let region = Memory::AnonThp.map(1)?;
    sys::store(region.start(), 7);
    let last = region.page(region.page_count() - 1);
    if !last.state()?.present() {
        return Err(Error::Machine(
            "the kernel had no transparent huge page to give: run alone, with more memory free".to_owned(),
        )
        .into());
    }
    let uffd = given::uffd(0)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let source = given::source(region.len(), Pattern::new(2))?;
    let copy = |range: Range| uffd.copy(range, source.start() as u64, 0);
    for range in [region.page(0).range(), region.page(1).range(), last.range(), region.range()] {
        copy(range).fails(Errno::EEXIST)?;
    }
    ensure_eq!(sys::load(region.start()), 7, "the first word of the huge page");
    family::holds(region.page(1), Pattern::ZERO)?;
    family::advise(last, libc::MADV_DONTNEED)?;
    copy(last.range()).does(last.size as u64)?;
    family::holds(last, Pattern::new(2))?;
    family::holds(region.page(region.page_count() - 2), Pattern::ZERO)?;
    uffd.has_nothing_to_read()
}

/// A page that is swapped out is there.
#[rstest]
#[test_attr(registered(conformance))]
fn a_page_in_swap_is_left_alone() -> Outcome {
    begin!(statements: ["COPY-041"], axes: [Memory::Anon, Mode::MISSING], needs: [given::SWAP])?;
    let region = Memory::Anon.map(2)?;
    region.page(0).fill(Pattern::new(1));
    let uffd = given::uffd(0)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let source = given::source(region.page_size(), Pattern::new(2))?;
    given::swap_out(region.page(0), || Ok(region.page(0).state()?.swapped()))?;
    let copy = |index| uffd.copy(region.page(index).range(), source.start() as u64, 0);
    copy(0).fails(Errno::EEXIST)?;
    ensure!(region.page(0).state()?.swapped(), "the page has left the swap space");
    copy(1).does(region.page_size() as u64)?;
    ensure_eq!(region.page(0).differs(Pattern::new(1)), None, "the page from swap");
    family::advise(region.page(0), libc::MADV_DONTNEED)?;
    copy(0).does(region.page_size() as u64)?;
    family::holds(region.page(0), Pattern::new(2))
}

/// A page that is protected against reading and writing is there.
#[rstest]
#[test_attr(registered(conformance))]
fn a_read_write_protected_page_is_left_alone(#[values(Mode::RWP, Mode::MISSING_RWP)] mode: Mode) -> Outcome {
    begin!(statements: ["COPY-042"], axes: [Memory::Anon, mode])?;
    let scene = Scene::with_features(Memory::Anon, mode, 2, UFFD_FEATURE_RWP)?;
    let (page, size) = (scene.page(0), scene.region.page_size());
    let (first, second) = (given::source(size, Pattern::new(1))?, given::source(size, Pattern::new(2))?);
    scene.uffd.copy(page.range(), first.start() as u64, 0).does(size as u64)?;
    scene.uffd.rwprotect(page.range(), UFFDIO_RWPROTECT_MODE_RWP).succeeds()?;
    let waiter = Actor::access(Access::Read, page.at(0))?;
    let sleep = waiter.falls_asleep()?;
    scene.uffd.fault()?;
    scene.uffd.copy(page.range(), second.start() as u64, 0).fails(Errno::EEXIST)?;
    waiter.is_still_in(sleep)?;
    family::all_absent([scene.page(1)])?;
    scene.uffd.has_nothing_to_read()?;
    scene.uffd.rwprotect(page.range(), 0).succeeds()?;
    ensure_eq!(waiter.is_woken()?, family::first_byte(Pattern::new(1)), "the byte that the waiter read");
    family::holds(page, Pattern::new(1))
}

/// A write-protection marker where no page is gives way to the copy; the protection stays if the copy asks for it.
#[apply(one_of_each_class)]
fn a_wp_marker_is_filled_over(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-039"],
        axes: [memory, Mode::WP],
        needs: [Need::Feature(family::marker_feature(memory))]
    )?;
    fill_over_a_wp_marker(memory, Mode::WP)
}

/// It is the same where missing pages fault too.
#[rstest]
#[test_attr(registered(conformance))]
fn a_wp_marker_in_a_range_for_missing_faults_is_filled_over(
    #[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory,
) -> Outcome {
    begin!(
        statements: ["COPY-039"],
        axes: [memory, Mode::MISSING_WP],
        needs: [Need::Feature(family::marker_feature(memory))]
    )?;
    fill_over_a_wp_marker(memory, Mode::MISSING_WP)
}

fn fill_over_a_wp_marker(memory: Memory, mode: Mode) -> Outcome {
    let scene = Scene::with_features(memory, mode, 3, family::marker_feature(memory))?;
    let size = scene.region.page_size();
    scene.uffd.writeprotect(scene.region.pages(0, 2), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    for page in [scene.page(0), scene.page(1)] {
        ensure!(page.state()?.uffd_wp() && !page.state()?.present(), "no marker at {:#x}", page.start);
    }
    let source = given::source(size, Pattern::new(1))?;
    let copy = |index, mode| scene.uffd.copy(scene.page(index).range(), source.start() as u64, mode);
    copy(0, 0).does(size as u64)?;
    copy(1, UFFDIO_COPY_MODE_WP).does(size as u64)?;
    family::holds(scene.page(0), Pattern::new(1))?;
    family::holds(scene.page(1), Pattern::new(1))?;
    ensure!(!scene.page(0).state()?.uffd_wp(), "the page copied without MODE_WP is protected");
    ensure!(scene.page(1).state()?.uffd_wp(), "the page copied with MODE_WP is not protected");
    family::all_absent([scene.page(2)])?;
    Actor::access(Access::Write, scene.page(0).at(8))?.does_not_wait()?;
    scene.uffd.has_nothing_to_read()?;
    let writer = Actor::access(Access::Write, scene.page(1).at(8))?;
    let sleep = writer.falls_asleep()?;
    scene.uffd.fault_at(UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE, scene.page(1).start)?;
    writer.is_still_in(sleep)
}

/// A poisoned page is filled over, and is a page like any other from then on.
#[apply(one_of_each_class)]
fn a_poison_marker_is_filled_over(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-040"],
        axes: [memory, Mode::MISSING],
        needs: [Need::Feature(UFFD_FEATURE_POISON)]
    )?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let size = scene.region.page_size() as u64;
    scene.uffd.poison(scene.region.pages(0, 2), 0).does(2 * size)?;
    Actor::access(Access::Read, scene.page(0).at(0))?.dies_of(libc::SIGBUS)?;
    let source = given::source(size as usize, Pattern::new(1))?;
    scene.uffd.copy(scene.page(0).range(), source.start() as u64, 0).does(size)?;
    let read = Actor::access(Access::Read, scene.page(0).at(0))?.does_not_wait()?;
    if read != family::first_byte(Pattern::new(1)) {
        return Err(broken(format!("read {read:#x} from the page that was filled over poison")));
    }
    family::holds(scene.page(0), Pattern::new(1))?;
    family::all_absent([scene.page(1)])?;
    Actor::access(Access::Write, scene.page(1).at(0))?.dies_of(libc::SIGBUS)?;
    scene.uffd.has_nothing_to_read()
}
