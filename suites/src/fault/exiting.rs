//! Tasks that exit or dump core: they do not wait for faults.

use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use object::read::elf::{ElfFile64, ElfSegment64};
use object::{Object as _, ObjectSegment as _};
use rustix::process::fchdir;
use uffd_harness::actor::{ProcessEnding, Target};
use uffd_harness::gate;
use uffd_harness::memory::detached_tmpfs;
use uffd_harness::need::{Lack, Who};

use super::faulting::{Faulting, is_unmapped};
use crate::prelude::*;

/// What the kernel touches in user memory when a thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The word it clears: set_tid_address(2).
    Clear,
    /// The list of locks it reads: set_robust_list(2).
    RobustList,
}

impl uffd_harness::case::Axis for Last {
    fn axis(&self) -> &'static str {
        "last-access"
    }
    fn value(&self) -> String {
        if *self == Self::Clear { "clear-child-tid" } else { "robust-list" }.to_owned()
    }
}

/// A thread whose last access by the kernel meets a missing page is gone at once, with no message and no page.
#[rstest]
#[test_attr(registered(conformance))]
fn an_exiting_thread_does_not_wait(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
    #[values(Last::Clear, Last::RobustList)] last: Last,
) -> Outcome {
    begin!(statements: ["FAULT-051"], axes: [memory, Mode::MISSING, last])?;
    let scene = Faulting::new(memory, Mode::MISSING, 1)?;
    let page = scene.page(0);
    let thread = Actor::start(move || match last {
        Last::Clear => {
            gate::clear_at_exit(page.start);
            Ok(())
        }
        Last::RobustList => gate::read_at_exit(page.start),
    })?;
    ensure!(thread.exits(), "the exiting thread waits for a fault");
    thread.is_woken()?.map_err(|errno| Stop::Error(format!("set_robust_list: {errno}")))?;
    is_unmapped(page)?;
    scene.uffd.has_nothing_to_read()
}

/// Skips the case where a core dump is not allowed, may be cut off, or does not go to the working directory.
fn core_is_dumped_here() -> Outcome {
    let lacks = |reason| Err(Stop::Skip(Lack { who: Who::Machine, reason }));
    if getrlimit(Resource::RLIMIT_CORE).is_ok_and(|(_, most)| most != libc::RLIM_INFINITY) {
        return lacks("core dumps may be cut off: ulimit -Hc unlimited".to_owned());
    }
    let path = "/proc/sys/kernel/core_pattern";
    let pattern = std::fs::read_to_string(path).unwrap_or_default();
    if pattern.trim().is_empty() || pattern.contains(['|', '/', '@']) {
        return lacks(format!("core dumps go to {}: write core to {path}", pattern.trim()));
    }
    Ok(())
}

/// A process that dumps core does not wait for its faults, and nobody is told of them; the dump goes on behind the hole.
#[rstest]
#[case(Memory::Anon, Mode::MISSING)]
#[case(Memory::ShmemMemfd, Mode::MISSING)]
#[case(Memory::ShmemPrivate, Mode::MISSING)]
#[case(Memory::HugetlbMemfd, Mode::MISSING)]
#[case(Memory::ShmemMemfd, Mode::MINOR)]
#[case(Memory::ShmemPrivate, Mode::MINOR)]
#[case(Memory::HugetlbMemfd, Mode::MINOR)]
#[case(Memory::HugetlbMemfdPrivate, Mode::MINOR)]
#[case(Memory::Anon, Mode::RWP)]
#[case(Memory::ShmemMemfd, Mode::RWP)]
#[case(Memory::HugetlbMemfd, Mode::RWP)]
#[test_attr(registered(conformance))]
fn a_core_dump_does_not_wait(#[case] memory: Memory, #[case] mode: Mode) -> Outcome {
    begin!(
        statements: ["FAULT-051"],
        axes: [memory, mode],
        needs: [Need::Capability("CAP_SYS_ADMIN")]
    )?;
    core_is_dumped_here()?;
    let folder = detached_tmpfs()?;
    let mut target = dumping_target(memory, mode, &folder)?;
    ensure!(!target.process.waits_for_userfault(), "the dump waits for a fault");
    ensure_eq!(target.process.wait()?, ProcessEnding::Killed(libc::SIGABRT), "the target's end");
    went_behind_the_fault(&folder, target.page(0), target.page(1))?;
    target.uffd.has_nothing_to_read()
}

/// What the page behind the faulting one holds when the dump is made.
const BEHIND: Pattern = Pattern::new(0x4000);

/// A process that aborts and dumps its memory into this folder; of the region's two pages the first would fault.
fn dumping_target(memory: Memory, mode: Mode, folder: &OwnedFd) -> Result<Target, Stop> {
    let set_up = || {
        let faulting = Faulting::new(memory, mode, 2)?;
        faulting.end_fault(1)?;
        Ok(faulting.into_scene())
    };
    Scene::in_target(set_up, |region, _| {
        region.page(1).fill(BEHIND);
        // Shared huge pages are left out unless they are asked for: core(5).
        let asked = std::fs::write("/proc/self/coredump_filter", "0x73");
        let unlimited = setrlimit(Resource::RLIMIT_CORE, libc::RLIM_INFINITY, libc::RLIM_INFINITY);
        if asked.is_err() || unlimited.is_err() || fchdir(folder).is_err() {
            return 1;
        }
        gate::dump_core()
    })
}

/// The core in this folder has a hole where the fault was, and what the page behind holds: it was served by nobody, and the
/// region was not left out.
#[track_caller]
fn went_behind_the_fault(folder: &OwnedFd, faulting: Page, behind: Page) -> Outcome {
    let unusable = |what: String| Stop::Error(format!("the core that was dumped: {what}"));
    let path = std::fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))
        .ok()
        .and_then(|mut files| files.next()?.ok())
        .ok_or_else(|| unusable("there is none".to_owned()))?
        .path();
    let core = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let core = ElfFile64::<object::Endianness>::parse(&*core);
    let core = core.map_err(|error| unusable(error.to_string()))?;
    for (page, content) in [(faulting, Pattern::ZERO), (behind, BEHIND)] {
        let (start, size) = (page.start as u64, page.size as u64);
        let holds =
            |segment: &ElfSegment64<'_, '_>| start.checked_sub(segment.address()).is_some_and(|at| at < segment.size());
        let segment = core.segments().find(holds).ok_or_else(|| unusable("the region is not in it".to_owned()))?;
        let bytes = segment.data_range(start, size).ok().flatten();
        let bytes = bytes.ok_or_else(|| broken(format!("the dump ends before the page at {start:#x}")))?;
        let differing = bytes.iter().enumerate().position(|(offset, byte)| *byte != content.byte(offset));
        ensure_eq!(differing, None, "where the page at {start:#x} differs in the dump");
    }
    Ok(())
}
