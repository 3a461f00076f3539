//! Poison where the page would be mapped, and a page that the hardware has lost.

use uffd_harness::actor::ProcessEnding;
use uffd_harness::need::{Lack, Who};
use uffd_harness::{Error, kernel, sys};

use crate::family::{self, Call, Stage, first_byte};
use crate::prelude::*;

/// Poison gives way to the page of the page cache.
#[apply(one_of_each_class)]
fn a_poison_marker_is_mapped_over(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-018"],
        axes: [memory, Mode::MINOR],
        needs: [Need::Feature(UFFD_FEATURE_POISON), family::hugepages(memory, 2)]
    )?;
    let scene = Scene::new(memory, Mode::MINOR, 2)?;
    let (page, size) = (scene.page(0), scene.region.page_size() as u64);
    scene.uffd.poison(scene.region.pages(0, 2), 0).does(2 * size)?;
    Actor::access(Access::Read, page.at(0))?.dies_of(libc::SIGBUS)?;
    scene.uffd.continue_range(page.range(), 0).does(size)?;
    let read = Actor::access(Access::Read, page.at(0))?.does_not_wait()?;
    ensure_eq!(read, first_byte(Scene::cached(0)), "the byte read");
    family::holds(page, Scene::cached(0))?;
    family::all_absent([scene.page(1)])?;
    Actor::access(Access::Read, scene.page(1).at(0))?.dies_of(libc::SIGBUS)?;
    scene.uffd.has_nothing_to_read()
}

/// Has the kernel take the hardware behind a page for broken: `madvise(MADV_HWPOISON)`.
///
/// The kernel kills who does that with the page's loss, so a process does that is there for nothing else.
fn lose_the_hardware_of(page: Page) -> Outcome {
    if !kernel::machine::is_disposable() {
        let reason = "takes a page of memory out of use until the next boot: only in a guest of scripts/boot";
        return Err(Error::Machine(reason.to_owned()).into());
    }
    let mut process = Process::start(|| match sys::advise(page.start, page.size, libc::MADV_HWPOISON) {
        Ok(()) => 0,
        Err(errno) => errno as i32,
    })?;
    match process.wait()? {
        ProcessEnding::Exited(0) | ProcessEnding::Killed(libc::SIGBUS) => Ok(()),
        ProcessEnding::Exited(libc::EINVAL) => {
            let reason = "the kernel is without CONFIG_MEMORY_FAILURE".to_owned();
            Err(Stop::Skip(Lack { who: Who::Kernel, reason }))
        }
        other => Err(Error::Other(format!("madvise(MADV_HWPOISON): {other:?}")).into()),
    }
}

/// A page that the hardware has lost is not mapped: `EIO`.
#[rstest]
#[test_attr(registered(conformance))]
fn a_page_lost_by_the_hardware_is_not_mapped(
    #[values(Memory::ShmemMemfd, Memory::ShmemPrivate, Memory::HugetlbMemfd)] memory: Memory,
) -> Outcome {
    begin!(
        statements: ["CONT-016"],
        axes: [memory, Mode::MINOR],
        needs: [Need::Capability("CAP_SYS_ADMIN"), family::hugepages(memory, 4)]
    )?;
    let stage = Stage::new(Call::Continue, memory)?;
    let Some(alias) = &stage.scene.alias else { return Ok(()) };
    lose_the_hardware_of(alias.page(1))?;
    if memory.is_hugetlb() {
        kernel::pool::replace_lost_page(memory.page_size())?;
    }
    stage.request.make(stage.uffd()).fails(Errno::EIO)?;
    stage.is_unchanged()?;
    // The file loses the page, and this mapping of it what stands for the loss.
    family::advise(alias.page(1), libc::MADV_REMOVE)?;
    family::advise(alias.page(1), libc::MADV_DONTNEED)?;
    alias.page(1).fill(stage.content());
    stage.works()
}
