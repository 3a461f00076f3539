//! Tasks that exit or dump core: they do not wait for faults.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
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

/// Skips the case where a core dump is not allowed, or does not go to the working directory.
fn core_is_dumped_here() -> Outcome {
    let lacks = |reason| Err(Stop::Skip(Lack { who: Who::Machine, reason }));
    if getrlimit(Resource::RLIMIT_CORE).is_ok_and(|(_, most)| most == 0) {
        return lacks("core dumps are not allowed: ulimit -Hc unlimited".to_owned());
    }
    let path = "/proc/sys/kernel/core_pattern";
    let pattern = std::fs::read_to_string(path).unwrap_or_default();
    if pattern.trim().is_empty() || pattern.contains(['|', '/', '@']) {
        return lacks(format!("core dumps go to {}: write core to {path}", pattern.trim()));
    }
    Ok(())
}

/// A process that dumps core with a missing page in its memory does so at once, with no message.
#[rstest]
#[test_attr(registered(conformance))]
fn a_core_dump_does_not_wait(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::ShmemPrivate)] memory: Memory,
) -> Outcome {
    begin!(
        statements: ["FAULT-051"],
        axes: [memory, Mode::MISSING],
        needs: [Need::Capability("CAP_SYS_ADMIN")]
    )?;
    core_is_dumped_here()?;
    let folder = detached_tmpfs()?;
    let mut target = dumping_target(memory, &folder)?;
    ensure!(!target.process.waits_for_userfault(), "the dump waits for a fault");
    ensure_eq!(target.process.wait()?, ProcessEnding::Killed(libc::SIGABRT), "the target's end");
    let dumps = std::fs::read_dir(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder)));
    let dumped = dumps.is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.metadata().is_ok_and(|metadata| metadata.len() > 0)))
    });
    if !dumped {
        return Err(Stop::Error("no core was dumped".to_owned()));
    }
    target.uffd.has_nothing_to_read()
}

/// A process with a missing page that aborts and dumps its core into this folder.
fn dumping_target(memory: Memory, folder: &std::os::fd::OwnedFd) -> Result<Target, Stop> {
    Faulting::in_target(memory, Mode::MISSING, 2, 0, |_, _| {
        let most = getrlimit(Resource::RLIMIT_CORE).map_or(0, |(_, most)| most);
        if setrlimit(Resource::RLIMIT_CORE, most, most).is_err() || rustix::process::fchdir(folder).is_err() {
            return 1;
        }
        gate::dump_core()
    })
}
