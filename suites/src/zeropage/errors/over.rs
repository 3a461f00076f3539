//! Pages that are there, and markers where none is.

use uffd_harness::sys;

use crate::family;
use crate::prelude::*;

/// A page that is there stays as it is, whether it was written to or only read.
#[apply(small_of_each_class)]
fn a_present_page_is_left_alone(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-006"], axes: [memory, Mode::MISSING])?;
    let region = memory.map(2)?;
    region.page(0).fill(Pattern::new(1));
    sys::load(region.page(1).at(0));
    let uffd = given::uffd(0)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let zeropage = |index| uffd.zeropage(region.page(index).range(), 0);
    zeropage(0).fails(Errno::EEXIST)?;
    zeropage(1).fails(Errno::EEXIST)?;
    family::holds(region.page(0), Pattern::new(1))?;
    family::discard(region.page(0), memory)?;
    zeropage(0).does(region.page_size() as u64)?;
    family::holds(region.page(0), Pattern::ZERO)?;
    uffd.has_nothing_to_read()
}

/// On anonymous memory a write-protection marker counts as a page and stays.
#[rstest]
#[test_attr(registered(conformance))]
fn a_wp_marker_of_anonymous_memory_is_left_alone(
    #[values(Memory::Anon, Memory::AnonThp)] memory: Memory,
    #[values(Mode::WP, Mode::MISSING_WP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["ZERO-014"], axes: [memory, mode], needs: [Need::Feature(UFFD_FEATURE_WP_UNPOPULATED)])?;
    let scene = Scene::with_features(memory, mode, 2, UFFD_FEATURE_WP_UNPOPULATED)?;
    let page = scene.page(0);
    scene.uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    scene.uffd.zeropage(page.range(), 0).fails(Errno::EEXIST)?;
    ensure!(page.state()?.uffd_wp() && !page.state()?.present(), "the marker is not what it was");
    scene.uffd.writeprotect(page.range(), 0).succeeds()?;
    scene.uffd.zeropage(page.range(), 0).does(page.size as u64)?;
    family::holds(page, Pattern::ZERO)?;
    family::all_absent([scene.page(1)])?;
    scene.uffd.has_nothing_to_read()
}

/// On shared shmem a write-protection marker gives way to the zero page, and with it the protection.
#[rstest]
#[test_attr(registered(conformance))]
fn a_wp_marker_of_shared_shmem_is_filled_over(
    #[values(Memory::ShmemAnon, Memory::ShmemMemfd)] memory: Memory,
    #[values(Mode::WP, Mode::MISSING_WP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["ZERO-014"], axes: [memory, mode])?;
    let scene = Scene::new(memory, mode, 2)?;
    let page = scene.page(0);
    scene.uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    ensure!(page.state()?.uffd_wp() && !page.state()?.present(), "no marker");
    scene.uffd.zeropage(page.range(), 0).does(page.size as u64)?;
    family::holds(page, Pattern::ZERO)?;
    ensure!(!page.state()?.uffd_wp(), "the zero page is protected");
    Actor::access(Access::Write, page.at(0))?.does_not_wait()?;
    family::all_absent([scene.page(1)])?;
    scene.uffd.has_nothing_to_read()
}

/// On anonymous memory poison counts as a page and stays.
#[rstest]
#[test_attr(registered(conformance))]
fn poison_of_anonymous_memory_is_left_alone(#[values(Memory::Anon, Memory::AnonThp)] memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-014"], axes: [memory, Mode::MISSING], needs: [Need::Feature(UFFD_FEATURE_POISON)])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let page = scene.page(0);
    scene.uffd.poison(page.range(), 0).does(page.size as u64)?;
    scene.uffd.zeropage(page.range(), 0).fails(Errno::EEXIST)?;
    Actor::access(Access::Read, page.at(0))?.dies_of(libc::SIGBUS)?;
    family::all_absent([page, scene.page(1)])?;
    family::advise(page, libc::MADV_DONTNEED)?;
    scene.uffd.zeropage(page.range(), 0).does(page.size as u64)?;
    family::holds(page, Pattern::ZERO)
}

/// On shared shmem poison gives way to the zero page.
#[rstest]
#[test_attr(registered(conformance))]
fn poison_of_shared_shmem_is_filled_over(#[values(Memory::ShmemAnon, Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-014"], axes: [memory, Mode::MISSING], needs: [Need::Feature(UFFD_FEATURE_POISON)])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let page = scene.page(0);
    scene.uffd.poison(scene.region.pages(0, 2), 0).does(2 * page.size as u64)?;
    Actor::access(Access::Read, page.at(0))?.dies_of(libc::SIGBUS)?;
    scene.uffd.zeropage(page.range(), 0).does(page.size as u64)?;
    ensure_eq!(Actor::access(Access::Read, page.at(0))?.does_not_wait()?, 0, "the byte read");
    family::holds(page, Pattern::ZERO)?;
    Actor::access(Access::Read, scene.page(1).at(0))?.dies_of(libc::SIGBUS)?;
    scene.uffd.has_nothing_to_read()
}
