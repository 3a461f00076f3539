//! Faults that another process causes: process_vm_readv(2), ptrace(2), `/proc/PID/mem`.

use uffd_harness::actor::{DELIVERED, KernelAccess, Target};
use uffd_harness::memory::page_state::PageState;

use super::faulting::{Faulting, flags, told};
use super::kernel_mode::access;
use crate::prelude::*;

/// A process with two missing pages that waits for nothing but its end.
fn idle_target(features: u64) -> Result<Target, Stop> {
    Faulting::in_target(Memory::Anon, Mode::MISSING, 2, features, |_, cue| {
        cue.wait();
        0
    })
}

/// Fills a page of the target with [`Pattern`] 1.
fn fill(target: &Target, page: Page) -> Outcome {
    let source = given::source(page.size, Pattern::new(1))?;
    target.uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)
}

/// The target's page holds this pattern.
fn holds(target: &Target, page: Page, pattern: Pattern) -> Outcome {
    let made = KernelAccess::ProcessVmReadv.make_in(target.process.pid(), page.start, page.size)?;
    ensure!(made.taken == Some(pattern.bytes(page.size)), "the target's page does not hold what it should");
    Ok(())
}

/// Nothing is mapped at the target's page.
fn is_unmapped(target: &Target, page: Page) -> Outcome {
    let state = PageState::of_process(target.process.pid(), page.start)?;
    ensure!(!state.present(), "the target's page is mapped; nothing should be there");
    Ok(())
}

/// Another process that reads or writes a missing page waits for it; the message names that process's thread.
#[rstest]
#[test_attr(registered(conformance))]
fn access_from_another_process_waits(
    #[values(KernelAccess::ProcessVmReadv, KernelAccess::ProcessVmWritev)] call: KernelAccess,
) -> Outcome {
    begin!(
        statements: ["FAULT-039", "FAULT-040"],
        axes: [Memory::Anon, Mode::MISSING, call],
        needs: [Need::KernelFaults, Need::Feature(UFFD_FEATURE_THREAD_ID)]
    )?;
    let target = idle_target(UFFD_FEATURE_THREAD_ID)?;
    let (process, page) = (target.process.pid(), target.page(1));
    let caller = Actor::start(move || call.make_in(process, page.start, page.size))?;
    let sleep = caller.falls_asleep()?;
    told(&target.uffd, flags(Mode::MISSING, access(call)), page.start, caller.thread() as u32)?;
    target.uffd.has_nothing_to_read()?;
    caller.is_still_in(sleep)?;
    is_unmapped(&target, page)?;
    fill(&target, page)?;
    let made = caller.is_woken()??;
    ensure_eq!(made.result, Ok(page.size), "the call");
    if let Some(taken) = made.taken {
        ensure!(taken == Pattern::new(1).bytes(page.size), "what came out of the page is not what was in it");
    }
    holds(&target, page, if call.writes() { DELIVERED } else { Pattern::new(1) })?;
    is_unmapped(&target, target.page(0))?;
    target.uffd.has_nothing_to_read()
}

/// ptrace and `/proc/PID/mem` may not wait for a page: they fail at once, say nothing, and succeed when it is there.
#[rstest]
#[test_attr(registered(conformance))]
fn ptrace_and_proc_mem_do_not_wait(
    #[values(
        KernelAccess::PtracePeek,
        KernelAccess::PtracePoke,
        KernelAccess::ProcMemRead,
        KernelAccess::ProcMemWrite
    )]
    call: KernelAccess,
) -> Outcome {
    begin!(statements: ["FAULT-039"], axes: [Memory::Anon, Mode::MISSING, call], needs: [Need::KernelFaults])?;
    let target = idle_target(0)?;
    let (process, page) = (target.process.pid(), target.page(1));
    let attempt = || Actor::start(move || call.make_in(process, page.start, page.size));
    ensure_eq!(attempt()?.does_not_wait()??.result, call.refused(), "the call");
    is_unmapped(&target, page)?;
    target.uffd.has_nothing_to_read()?;
    fill(&target, page)?;
    ensure_eq!(attempt()?.does_not_wait()??.result, call.completes(page.size), "the call when the page is there");
    is_unmapped(&target, target.page(0))?;
    target.uffd.has_nothing_to_read()
}
