//! `UFFD_USER_MODE_ONLY`: userfaultfd(2), DESCRIPTION.

use uffd_harness::actor::KernelAccess;
use uffd_harness::kernel::CREATION_FLAGS;

use super::faulting::{Faulting, some_faults, told};
use super::kernel_mode::{caller, went_through};
use crate::expect::broken;
use crate::prelude::*;

/// A scene at a userfaultfd that is told of faults from user mode only.
fn scene(memory: Memory, mode: Mode, pages: usize) -> Result<Faulting, Stop> {
    let uffd = Uffd::create(CREATION_FLAGS | UFFD_USER_MODE_ONLY)
        .map_err(|errno| broken(format!("userfaultfd(UFFD_USER_MODE_ONLY) failed with {errno:?}")))?;
    Faulting::at(uffd, memory, mode, pages, 0)
}

/// The call on page 1 fails at once, with no message, no signal and no page; it succeeds when the fault has been ended.
#[track_caller]
pub fn fails_until_resolved(scene: &Faulting, call: KernelAccess) -> Outcome {
    let page = scene.page(1);
    let made = caller(call, page)?.does_not_wait()??;
    ensure_eq!(made.result, call.refused(), "the call");
    ensure!(made.taken.is_none_or(|taken| taken.is_empty()), "the call took something out of the page");
    scene.uffd.polls(0)?;
    scene.uffd.has_nothing_to_read()?;
    scene.is_untouched(0)?;
    scene.is_untouched(1)?;
    scene.end_fault(1)?;
    went_through(call, &caller(call, page)?.does_not_wait()??, page, scene.holds(1))?;
    scene.is_untouched(0)?;
    scene.uffd.has_nothing_to_read()
}

/// An access from user mode waits and is told as with any userfaultfd.
#[apply(some_faults)]
fn user_mode_access_is_told(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-043"], axes: [memory, mode], needs: [Need::UserModeOnly])?;
    let scene = scene(memory, mode, 2)?;
    let (waiter, sleep) = scene.waiter(1, 0x123)?;
    scene.uffd.polls(libc::POLLIN)?;
    told(&scene.uffd, scene.flags(), scene.page(1).start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    waiter.is_still_in(sleep)?;
    scene.end_fault(1)?;
    scene.went_through(&[(&waiter, 1, 0x123)])?;
    scene.is_untouched(0)
}

/// A system call that comes to a missing page fails at once with `EFAULT`, or says what it had done before.
#[rstest]
#[test_attr(registered(conformance))]
fn calls_on_a_missing_page_fail_at_once(
    #[values(
        KernelAccess::Readv,
        KernelAccess::Preadv,
        KernelAccess::PipeRead,
        KernelAccess::VmspliceTo,
        KernelAccess::DirectRead,
        KernelAccess::UringRecv,
        KernelAccess::FutexWaitShared,
        KernelAccess::FutexWakeOp,
        KernelAccess::ProcMemWrite,
        KernelAccess::Mlock,
        KernelAccess::Writev,
        KernelAccess::Pwritev,
        KernelAccess::PipeWrite,
        KernelAccess::VmspliceFrom,
        KernelAccess::DirectWrite,
        KernelAccess::UringSend,
        KernelAccess::FutexWait,
        KernelAccess::ProcMemRead
    )]
    call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-044"], axes: [Memory::Anon, Mode::MISSING, call], needs: [Need::UserModeOnly])?;
    fails_until_resolved(&scene(Memory::Anon, Mode::MISSING, 2)?, call)
}

/// `read` into a missing page and `write` from it fail with `EFAULT` on every memory type; no signal is sent.
#[apply(one_of_each_class)]
fn read_and_write_fail_at_once(
    memory: Memory,
    #[values(KernelAccess::Read, KernelAccess::Write)] call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-044"], axes: [memory, Mode::MISSING, call], needs: [Need::UserModeOnly])?;
    fails_until_resolved(&scene(memory, Mode::MISSING, 2)?, call)
}

/// Calls that take hold of pages fail with `EFAULT` too.
#[rstest]
#[test_attr(registered(conformance))]
fn populate_and_process_vm_fail_at_once(
    #[values(
        KernelAccess::PopulateRead,
        KernelAccess::PopulateWrite,
        KernelAccess::ProcessVmReadv,
        KernelAccess::ProcessVmWritev
    )]
    call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-045"], axes: [Memory::Anon, Mode::MISSING, call], needs: [Need::UserModeOnly])?;
    fails_until_resolved(&scene(Memory::Anon, Mode::MISSING, 2)?, call)
}

/// `read` into a page that is there but protected, or cached but not mapped, fails with `EFAULT` as well.
#[rstest]
#[case(Memory::Anon, Mode::WP)]
#[case(Memory::ShmemMemfd, Mode::MINOR)]
#[case(Memory::Anon, Mode::RWP)]
#[test_attr(registered(conformance))]
fn read_fails_at_once_in_every_mode(#[case] memory: Memory, #[case] mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-044"], axes: [memory, mode], needs: [Need::UserModeOnly])?;
    fails_until_resolved(&scene(memory, mode, 2)?, KernelAccess::Read)
}
