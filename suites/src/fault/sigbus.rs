//! `UFFD_FEATURE_SIGBUS`: UFFDIO_API(2const).

use uffd_harness::actor::{KernelAccess, ProcessEnding, Target, task};

use super::faulting::{Faulting, access_did, every_fault, is_unmapped};
use super::user_mode_only::fails_until_resolved;
use crate::prelude::*;

const OFFSET: usize = 0x123;

/// The access raises SIGBUS with `BUS_ADRERR` and the address of the very byte.
#[track_caller]
fn raises_sigbus(access: Access, address: usize) -> Outcome {
    let info = Actor::access(access, address)?.dies_of(libc::SIGBUS)?;
    ensure_eq!(info.code, libc::BUS_ADRERR, "si_code");
    ensure_eq!(info.address, address, "si_addr");
    Ok(())
}

/// A fault raises SIGBUS in the thread instead of a message; once it is resolved the access goes through.
#[apply(every_fault)]
fn fault_raises_sigbus(memory: Memory, mode: Mode) -> Outcome {
    begin!(
        statements: ["FAULT-046", "FAULT-047", "FAULT-049"],
        axes: [memory, mode],
        needs: [Need::Feature(UFFD_FEATURE_SIGBUS)]
    )?;
    let scene = Faulting::with_features(memory, mode, 2, UFFD_FEATURE_SIGBUS)?;
    let page = scene.page(1);
    for offset in [OFFSET, page.size - 1] {
        raises_sigbus(scene.access(), page.at(offset))?;
    }
    scene.uffd.polls(0)?;
    scene.uffd.has_nothing_to_read()?;
    scene.is_untouched(1)?;
    scene.end_fault(1)?;
    let value = Actor::access(scene.access(), page.at(OFFSET))?.does_not_wait()?;
    access_did(page, scene.holds(1), scene.access(), OFFSET, value)?;
    scene.is_untouched(0)?;
    raises_sigbus(scene.access(), scene.page(0).at(0))?;
    scene.uffd.has_nothing_to_read()
}

/// A page that COPY or ZEROPAGE provides after the SIGBUS takes the write that had failed.
#[apply(one_of_each_class)]
fn resolved_page_takes_the_write(
    memory: Memory,
    #[values(Resolver::Copy, Resolver::Zeropage)] resolver: Resolver,
) -> Outcome {
    begin!(
        statements: ["FAULT-046", "FAULT-049"],
        axes: [memory, Mode::MISSING, resolver],
        needs: [Need::Feature(UFFD_FEATURE_SIGBUS)]
    )?;
    let scene = Faulting::with_features(memory, Mode::MISSING, 2, UFFD_FEATURE_SIGBUS)?;
    let page = scene.page(0);
    raises_sigbus(Access::Write, page.at(OFFSET))?;
    is_unmapped(page)?;
    scene.resolve(resolver, 0, 1, true)?.does(page.size as u64)?;
    let value = Actor::access(Access::Write, page.at(OFFSET))?.does_not_wait()?;
    access_did(page, Scene::filled(resolver, 0), Access::Write, OFFSET, value)?;
    is_unmapped(scene.page(1))?;
    scene.uffd.has_nothing_to_read()
}

/// A system call that comes to a missing page fails with its errno; no signal is sent.
#[rstest]
#[test_attr(registered(conformance))]
fn calls_fail_without_a_signal(
    #[values(
        KernelAccess::Read,
        KernelAccess::Readv,
        KernelAccess::VmspliceTo,
        KernelAccess::FutexWakeOp,
        KernelAccess::ProcessVmWritev,
        KernelAccess::PopulateWrite,
        KernelAccess::Mlock,
        KernelAccess::Write,
        KernelAccess::PipeWrite,
        KernelAccess::UringSend,
        KernelAccess::FutexWait,
        KernelAccess::ProcessVmReadv,
        KernelAccess::PopulateRead
    )]
    call: KernelAccess,
) -> Outcome {
    begin!(
        statements: ["FAULT-048"],
        axes: [Memory::Anon, Mode::MISSING, call],
        needs: [Need::Feature(UFFD_FEATURE_SIGBUS)]
    )?;
    fails_until_resolved(&Faulting::with_features(Memory::Anon, Mode::MISSING, 2, UFFD_FEATURE_SIGBUS)?, call)
}

/// A target that forks a child, which accesses page 0, and exits as that child did.
fn target_with_a_child(memory: Memory, features: u64, child: fn(Page) -> Outcome) -> Result<Target, Stop> {
    Faulting::in_target(memory, Mode::MISSING, 1, features, move |region, _| {
        let page = region.page(0);
        let ending = Process::start(|| i32::from(child(page).is_err())).and_then(|mut child| child.wait());
        if let Ok(ProcessEnding::Exited(status)) = ending { status } else { 2 }
    })
}

/// With EVENT_FORK the child of the registering process gets SIGBUS for its faults as well.
#[apply(one_of_each_class)]
fn a_child_inherits_sigbus(memory: Memory) -> Outcome {
    begin!(
        statements: ["FAULT-050"],
        axes: [memory, Mode::MISSING],
        needs: [
            Need::Feature(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_EVENT_FORK),
            Need::Capability("CAP_SYS_PTRACE")
        ]
    )?;
    let features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_EVENT_FORK;
    let mut target = target_with_a_child(memory, features, |page| raises_sigbus(Access::Read, page.at(OFFSET)))?;
    // The fork waits until its event has been read.
    while target.uffd.poll(1).is_ok_and(|events| events == 0) {
        ensure!(task::is_alive(target.process.pid(), target.process.pid()), "the fork gave no event");
    }
    let event = target.uffd.message()?.event();
    ensure!(matches!(event, Event::Fork { .. }), "the fork's event is expected, the message says {event:?}");
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the child got SIGBUS at the byte");
    target.uffd.has_nothing_to_read()
}

/// Without EVENT_FORK the child is not monitored: its access goes through to zeros.
#[rstest]
#[test_attr(registered(conformance))]
fn a_child_gets_no_sigbus_without_event_fork(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
) -> Outcome {
    begin!(
        statements: ["FAULT-050"],
        axes: [memory, Mode::MISSING],
        needs: [Need::Feature(UFFD_FEATURE_SIGBUS)]
    )?;
    let mut target = target_with_a_child(memory, UFFD_FEATURE_SIGBUS, |page| {
        let value = Actor::access(Access::Read, page.at(OFFSET))?.does_not_wait()?;
        access_did(page, Pattern::ZERO, Access::Read, OFFSET, value)
    })?;
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the child read zeros");
    target.uffd.has_nothing_to_read()
}
