//! Read-write-protect faults: userfaultfd.rst, "Read-Write Protection".

use uffd_harness::actor::KernelAccess;

use super::faulting::{Faulting, access_did, flags, told};
use super::kernel_mode::{access, caller, went_through};
use crate::prelude::*;

const OFFSET: usize = 0x123;

/// A read of a protected page is told as RWP, a write as RWP and WRITE; the neighbour stays protected.
#[apply(every_memory)]
fn access_to_a_protected_page_is_told(
    memory: Memory,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(statements: ["FAULT-024", "FAULT-008"], axes: [memory, Mode::RWP, access])?;
    let scene = Faulting::new(memory, Mode::RWP, 2)?;
    let page = scene.page(1);
    let waiter = Actor::access(access, page.at(OFFSET))?;
    let sleep = waiter.falls_asleep()?;
    scene.uffd.polls(libc::POLLIN)?;
    told(&scene.uffd, flags(Mode::RWP, access), page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    waiter.is_still_in(sleep)?;
    scene.end_fault(1)?;
    access_did(page, scene.holds(1), access, OFFSET, waiter.is_woken()?)?;
    scene.is_untouched(0)?;
    Actor::access(access, scene.page(0).at(OFFSET))?.falls_asleep()?;
    told(&scene.uffd, flags(Mode::RWP, access), scene.page(0).start, 0)?;
    scene.uffd.has_nothing_to_read()
}

/// In a range that is registered for RWP but not protected no page faults.
#[apply(one_of_each_class)]
fn unprotected_pages_are_no_rwp_fault(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-024"], axes: [memory, Mode::RWP])?;
    let uffd = given::uffd(UFFD_FEATURE_RWP)?;
    let region = memory.map(2)?;
    region.page(0).fill(Pattern::new(1));
    given::register(&uffd, region.range(), Mode::RWP)?;
    for (index, pattern) in [(0, Pattern::new(1)), (1, Pattern::ZERO)] {
        for access in [Access::Read, Access::Write] {
            let value = Actor::access(access, region.page(index).at(OFFSET))?.does_not_wait()?;
            access_did(region.page(index), pattern, access, OFFSET, value)?;
        }
    }
    uffd.has_nothing_to_read()
}

/// Without MISSING unpopulated pages cannot be protected: accesses are silent and leave the page unprotected.
#[apply(one_of_each_class)]
fn unpopulated_pages_are_not_protected(
    memory: Memory,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(statements: ["FAULT-025"], axes: [memory, Mode::RWP, access])?;
    let uffd = given::uffd(UFFD_FEATURE_RWP)?;
    let region = memory.map(1)?;
    let page = region.page(0);
    given::register(&uffd, region.range(), Mode::RWP)?;
    uffd.rwprotect(region.range(), UFFDIO_RWPROTECT_MODE_RWP).succeeds()?;
    for access in [access, Access::Read, Access::Write] {
        let value = Actor::access(access, page.at(OFFSET))?.does_not_wait()?;
        access_did(page, Pattern::ZERO, access, OFFSET, value)?;
    }
    ensure!(!page.state()?.uffd_wp(), "the page is protected after its access");
    uffd.has_nothing_to_read()
}

/// `read` into a protected page is told as RWP and WRITE, `write` from it as RWP; both complete once it is free.
#[rstest]
#[test_attr(registered(conformance))]
fn read_and_write_wait_for_a_page_protected_from_both(
    #[values(KernelAccess::Read, KernelAccess::Write)] call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-036"], axes: [Memory::Anon, Mode::RWP, call], needs: [Need::KernelFaults])?;
    let scene = Faulting::new(Memory::Anon, Mode::RWP, 2)?;
    let caller = caller(call, scene.page(1))?;
    let sleep = caller.falls_asleep()?;
    told(&scene.uffd, flags(Mode::RWP, access(call)), scene.page(1).start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    caller.is_still_in(sleep)?;
    scene.end_fault(1)?;
    went_through(call, &caller.is_woken()??, scene.page(1), scene.holds(1))?;
    scene.uffd.has_nothing_to_read()
}

/// With RWP_ASYNC calls that take hold of a protected page go through with the right data and without a message.
#[apply(one_of_each_class)]
fn calls_take_hold_of_an_asynchronously_protected_page(
    memory: Memory,
    #[values(
        KernelAccess::VmspliceFrom,
        KernelAccess::DirectRead,
        KernelAccess::DirectWrite,
        KernelAccess::ProcessVmReadv,
        KernelAccess::ProcessVmWritev
    )]
    call: KernelAccess,
) -> Outcome {
    begin!(
        statements: ["FAULT-041"],
        axes: [memory, Mode::RWP, call],
        needs: [Need::Feature(UFFD_FEATURE_RWP_ASYNC)]
    )?;
    let scene = Faulting::with_features(memory, Mode::RWP, 2, UFFD_FEATURE_RWP_ASYNC)?;
    let made = caller(call, scene.page(1))?.does_not_wait()??;
    went_through(call, &made, scene.page(1), scene.holds(1))?;
    scene.uffd.has_nothing_to_read()
}
