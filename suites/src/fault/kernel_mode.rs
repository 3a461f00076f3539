//! Faults of the kernel's own accesses: system calls that come to a page which is not there, or is protected.

use uffd_harness::actor::{DELIVERED, KernelAccess, Made};
use uffd_harness::sys;

use super::faulting::{Faulting, flags, holds, is_unmapped, told};
use crate::prelude::*;

/// What a call takes the page for.
pub fn access(call: KernelAccess) -> Access {
    if call.writes() { Access::Write } else { Access::Read }
}

/// The stretch of a page that the calls get: its last base page.
pub fn stretch(page: Page) -> (usize, usize) {
    let len = sys::page_size();
    (page.at(page.size - len), len)
}

/// A thread that makes a call on this page.
pub fn caller(call: KernelAccess, page: Page) -> Result<Actor<uffd_harness::Result<Made>>, Stop> {
    let (at, len) = stretch(page);
    Ok(Actor::start(move || call.make(at, len))?)
}

/// The call came to its end as if nothing had been in its way, on a page that held this pattern.
#[track_caller]
pub fn went_through(call: KernelAccess, made: &Made, page: Page, pattern: Pattern) -> Outcome {
    let (at, len) = stretch(page);
    let first = (at - page.start) / 8;
    ensure_eq!(made.result, call.completes(len), "the call");
    if let Some(taken) = &made.taken {
        let expected: Vec<u8> =
            (0..call.passes(len) / 8).flat_map(|index| pattern.word(first + index).to_ne_bytes()).collect();
        ensure!(*taken == expected, "what came out of the page is not what was in it");
    } else if call.writes() {
        let delivered = call.passes(len);
        if let Some(what) = DELIVERED.differs(at, delivered) {
            return Err(crate::expect::broken(format!("what came into the page: {what}")));
        }
        // The page is compared as it was before.
        for index in 0..delivered / 8 {
            sys::store(at + index * 8, pattern.word(first + index));
        }
    }
    holds(page, pattern)
}

/// The call sleeps until its fault on page 1 is told and ended, and then goes through.
#[track_caller]
fn waits_until_resolved(scene: &Faulting, mode: Mode, call: KernelAccess) -> Outcome {
    let page = scene.page(1);
    let caller = caller(call, page)?;
    let sleep = caller.falls_asleep()?;
    told(&scene.uffd, flags(mode, access(call)), page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    caller.is_still_in(sleep)?;
    scene.is_untouched(1)?;
    scene.end_fault(1)?;
    went_through(call, &caller.is_woken()??, page, scene.holds(1))?;
    scene.is_untouched(0)?;
    scene.uffd.has_nothing_to_read()
}

/// A call that delivers to a missing page waits for it, is told as a write, and completes.
#[rstest]
#[test_attr(registered(conformance))]
fn a_call_that_writes_to_a_missing_page_waits(
    #[values(
        KernelAccess::Read,
        KernelAccess::Readv,
        KernelAccess::Preadv,
        KernelAccess::PipeRead,
        KernelAccess::VmspliceTo,
        KernelAccess::DirectRead,
        KernelAccess::UringRecv,
        KernelAccess::FutexWaitShared
    )]
    call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-033"], axes: [Memory::Anon, Mode::MISSING, call], needs: [Need::KernelFaults])?;
    waits_until_resolved(&Faulting::new(Memory::Anon, Mode::MISSING, 2)?, Mode::MISSING, call)
}

/// A call that takes from a missing page waits for it, is told as a read, and completes.
#[rstest]
#[test_attr(registered(conformance))]
fn a_call_that_reads_a_missing_page_waits(
    #[values(
        KernelAccess::Write,
        KernelAccess::Writev,
        KernelAccess::Pwritev,
        KernelAccess::PipeWrite,
        KernelAccess::VmspliceFrom,
        KernelAccess::DirectWrite,
        KernelAccess::UringSend,
        KernelAccess::FutexWait
    )]
    call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-034"], axes: [Memory::Anon, Mode::MISSING, call], needs: [Need::KernelFaults])?;
    waits_until_resolved(&Faulting::new(Memory::Anon, Mode::MISSING, 2)?, Mode::MISSING, call)
}

/// `read` and `write` wait for missing pages of every memory type, and for minor faults.
#[rstest]
#[case(Memory::AnonThp, Mode::MISSING)]
#[case(Memory::ShmemMemfd, Mode::MISSING)]
#[case(Memory::ShmemPrivate, Mode::MISSING)]
#[case(Memory::HugetlbMemfd, Mode::MISSING)]
#[case(Memory::HugetlbMemfdPrivate, Mode::MISSING)]
#[case(Memory::ShmemMemfd, Mode::MINOR)]
#[case(Memory::HugetlbMemfd, Mode::MINOR)]
#[test_attr(registered(conformance))]
fn read_and_write_wait_for_their_page(
    #[case] memory: Memory,
    #[case] mode: Mode,
    #[values(KernelAccess::Read, KernelAccess::Write)] call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-033", "FAULT-034"], axes: [memory, mode, call], needs: [Need::KernelFaults])?;
    waits_until_resolved(&Faulting::new(memory, mode, 2)?, mode, call)
}

/// A `read` that ends in a second missing page waits for the one after the other and counts all bytes.
#[rstest]
#[test_attr(registered(conformance))]
fn read_across_two_missing_pages_waits_for_each() -> Outcome {
    begin!(statements: ["FAULT-033"], axes: [Memory::Anon, Mode::MISSING], needs: [Need::KernelFaults])?;
    let scene = Faulting::new(Memory::Anon, Mode::MISSING, 3)?;
    let len = scene.region.page_size();
    let at = scene.page(0).at(len / 2);
    let caller = Actor::start(move || KernelAccess::Read.make(at, len))?;
    let sleep = caller.falls_asleep()?;
    told(&scene.uffd, UFFD_PAGEFAULT_FLAG_WRITE, scene.page(0).start, 0)?;
    scene.end_fault(0)?;
    let sleep = caller.faults_again(sleep)?;
    told(&scene.uffd, UFFD_PAGEFAULT_FLAG_WRITE, scene.page(1).start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    caller.is_still_in(sleep)?;
    scene.end_fault(1)?;
    ensure_eq!(caller.is_woken()??.result, Ok(len), "read");
    ensure_eq!(DELIVERED.differs(at, len), None, "what was read");
    is_unmapped(scene.page(2))?;
    scene.uffd.has_nothing_to_read()
}

/// A call that writes to a protected page waits and is told as WP and WRITE; one that reads it never waits.
#[rstest]
#[test_attr(registered(conformance))]
fn only_calls_that_write_wait_for_a_protected_page(
    #[values(
        KernelAccess::Read,
        KernelAccess::Readv,
        KernelAccess::PipeRead,
        KernelAccess::DirectRead,
        KernelAccess::UringRecv,
        KernelAccess::FutexWaitShared,
        KernelAccess::ProcessVmWritev,
        KernelAccess::PopulateWrite,
        KernelAccess::Mlock,
        KernelAccess::Write,
        KernelAccess::Writev,
        KernelAccess::PipeWrite,
        KernelAccess::VmspliceFrom,
        KernelAccess::DirectWrite,
        KernelAccess::UringSend,
        KernelAccess::FutexWait,
        KernelAccess::ProcessVmReadv,
        KernelAccess::ProcMemRead,
        KernelAccess::PopulateRead
    )]
    call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-035"], axes: [Memory::Anon, Mode::WP, call], needs: [Need::KernelFaults])?;
    let scene = Faulting::new(Memory::Anon, Mode::WP, 2)?;
    if call.writes() {
        return waits_until_resolved(&scene, Mode::WP, call);
    }
    went_through(call, &caller(call, scene.page(1))?.does_not_wait()??, scene.page(1), scene.holds(1))?;
    scene.uffd.has_nothing_to_read()
}

/// `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE` wait for each missing page in turn and pass over the others.
#[rstest]
#[test_attr(registered(conformance))]
fn populate_waits_for_each_missing_page(
    #[values(KernelAccess::PopulateRead, KernelAccess::PopulateWrite)] call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-038"], axes: [Memory::Anon, Mode::MISSING, call], needs: [Need::KernelFaults])?;
    waits_for_each_missing_page(call)
}

/// `mlock` waits for each missing page in turn and passes over the others.
#[rstest]
#[test_attr(registered(conformance))]
fn mlock_waits_for_each_missing_page() -> Outcome {
    begin!(statements: ["FAULT-054"], axes: [Memory::Anon, Mode::MISSING], needs: [Need::KernelFaults])?;
    waits_for_each_missing_page(KernelAccess::Mlock)
}

/// A call on four pages, of which the second is there and the others are not.
fn waits_for_each_missing_page(call: KernelAccess) -> Outcome {
    let scene = Faulting::new(Memory::Anon, Mode::MISSING, 5)?;
    let len = 4 * scene.region.page_size();
    scene.end_fault(1)?;
    let at = scene.region.start();
    let caller = Actor::start(move || call.make(at, len))?;
    let mut sleep = caller.falls_asleep()?;
    for missing in [0, 2, 3] {
        told(&scene.uffd, flags(Mode::MISSING, access(call)), scene.page(missing).start, 0)?;
        scene.uffd.has_nothing_to_read()?;
        caller.is_still_in(sleep)?;
        is_unmapped(scene.page(missing))?;
        scene.end_fault(missing)?;
        if missing != 3 {
            sleep = caller.faults_again(sleep)?;
        }
    }
    ensure_eq!(caller.is_woken()??.result, Ok(0), "the call");
    for index in 0..4 {
        holds(scene.page(index), scene.holds(index))?;
    }
    is_unmapped(scene.page(4))?;
    scene.uffd.has_nothing_to_read()
}
