//! Signals and tracers that come to a thread while it waits for its fault.

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use uffd_harness::actor::{DELIVERED, KernelAccess, ProcessEnding, Target};
use uffd_harness::fdinfo::FdInfo;
use uffd_harness::sys;

use super::faulting::{Faulting, flags, some_faults, told};
use crate::prelude::*;

/// How many waiters the userfaultfd has: those whose message nobody has read, and all.
fn waiting(uffd: &Uffd) -> Result<(u64, u64), Stop> {
    let info = FdInfo::of(uffd)?;
    Ok((info.pending, info.total))
}

/// A handler runs while the fault stands; then the access faults again with the same message, and nothing else does.
#[apply(some_faults)]
fn a_handler_runs_and_the_access_faults_again(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-031"], axes: [memory, mode], needs: [Need::Feature(UFFD_FEATURE_THREAD_ID)])?;
    let scene = Faulting::with_features(memory, mode, 1, UFFD_FEATURE_THREAD_ID)?;
    sys::count_signals(libc::SIGUSR1, true).map_err(|errno| Stop::Error(format!("sigaction: {errno}")))?;
    let (waiter, sleep) = scene.waiter(0, 0x123)?;
    let message = told(&scene.uffd, scene.flags(), scene.page(0).start, waiter.thread() as u32)?.message;
    let (other, others_sleep) = scene.waiter(0, 0x10)?;
    told(&scene.uffd, scene.flags(), scene.page(0).start, other.thread() as u32)?;
    waiter.signal(libc::SIGUSR1)?;
    let sleep = waiter.faults_again(sleep)?;
    ensure_eq!(sys::signals_counted(), 1, "handlers run");
    // Interrupted before its message was read, it has one message all the same.
    waiter.signal(libc::SIGUSR1)?;
    waiter.faults_again(sleep)?;
    ensure_eq!(sys::signals_counted(), 2, "handlers run");
    ensure_eq!(waiting(&scene.uffd)?, (1, 2), "pending and total");
    ensure_eq!(scene.uffd.message()?, message, "the message of the repeated fault");
    scene.uffd.has_nothing_to_read()?;
    other.is_still_in(others_sleep)?;
    scene.is_untouched(0)?;
    scene.end_fault(0)?;
    scene.went_through(&[(&waiter, 0, 0x123), (&other, 0, 0x10)])?;
    scene.uffd.has_nothing_to_read()
}

/// A process that waits for its access to page 0; the flags of its message.
fn waiting_target(memory: Memory, mode: Mode, call: Option<KernelAccess>) -> Result<(Target, u64), Stop> {
    let access = if mode == Mode::WP { Access::Write } else { Access::Read };
    let target = Faulting::in_target(memory, mode, 1, 0, move |region, _| {
        let page = region.page(0);
        match call {
            Some(call) => i32::from(call.make(page.start, sys::page_size()).is_err()),
            None => i32::from(access.make(page.at(0))),
        }
    })?;
    ensure!(target.process.waits_for_userfault(), "the access went through; it should wait for the fault");
    let access = if call.is_some_and(KernelAccess::writes) { Access::Write } else { access };
    Ok((target, flags(mode, access)))
}

/// Whether a message was read before what happens to its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Unread,
    Read,
}

impl uffd_harness::case::Axis for Told {
    fn axis(&self) -> &'static str {
        "message"
    }
    fn value(&self) -> String {
        if *self == Self::Read { "read" } else { "unread" }.to_owned()
    }
}

/// The signal kills the target while it waits, and nothing of its fault is left.
#[track_caller]
fn dies_and_leaves_nothing(target: &mut Target, flags: u64, signal: Signal, told_before: Told) -> Outcome {
    if told_before == Told::Read {
        told(&target.uffd, flags, target.page(0).start, 0)?;
        ensure_eq!(waiting(&target.uffd)?, (0, 1), "pending and total after the read");
    } else {
        ensure_eq!(waiting(&target.uffd)?, (1, 1), "pending and total before the read");
    }
    target.process.signal(signal)?;
    ensure_eq!(target.process.wait()?, ProcessEnding::Killed(signal as i32), "the target's end");
    ensure_eq!(waiting(&target.uffd)?, (0, 0), "pending and total after the target's end");
    target.uffd.polls(0)?;
    target.uffd.has_nothing_to_read()
}

/// SIGKILL ends a process that waits for its fault, and nothing is left of that fault.
#[apply(some_faults)]
fn sigkill_ends_a_waiter(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-032"], axes: [memory, mode])?;
    let (mut target, flags) = waiting_target(memory, mode, None)?;
    dies_and_leaves_nothing(&mut target, flags, Signal::SIGKILL, Told::Read)
}

/// SIGKILL takes the message of a fault that nobody has read out of the queue.
#[rstest]
#[test_attr(registered(conformance))]
fn sigkill_ends_a_waiter_and_its_message(#[values(Memory::Anon, Memory::HugetlbMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-032"], axes: [memory, Mode::MISSING])?;
    let (mut target, flags) = waiting_target(memory, Mode::MISSING, None)?;
    dies_and_leaves_nothing(&mut target, flags, Signal::SIGKILL, Told::Unread)
}

/// So does any signal that ends the process, also while it waits inside a system call.
#[rstest]
#[test_attr(registered(conformance))]
fn a_fatal_signal_ends_a_waiter_in_a_call(
    #[values(KernelAccess::Read, KernelAccess::Write, KernelAccess::Mlock)] call: KernelAccess,
    #[values(Told::Unread, Told::Read)] message: Told,
) -> Outcome {
    begin!(
        statements: ["FAULT-032"],
        axes: [Memory::Anon, Mode::MISSING, call, message],
        needs: [Need::KernelFaults]
    )?;
    let (mut target, flags) = waiting_target(Memory::Anon, Mode::MISSING, Some(call))?;
    dies_and_leaves_nothing(&mut target, flags, Signal::SIGTERM, message)
}

/// SIGTERM without a handler ends a process that waits in user mode.
#[rstest]
#[test_attr(registered(conformance))]
fn sigterm_ends_a_waiter_and_its_message(#[values(Told::Unread, Told::Read)] message: Told) -> Outcome {
    begin!(statements: ["FAULT-032"], axes: [Memory::Anon, Mode::MISSING, message])?;
    let (mut target, flags) = waiting_target(Memory::Anon, Mode::MISSING, None)?;
    dies_and_leaves_nothing(&mut target, flags, Signal::SIGTERM, message)
}

/// A stopped process waits for no fault: its message is gone until it goes on, and then it is the same again.
#[rstest]
#[test_attr(registered(conformance))]
fn a_stopped_waiter_faults_again_when_it_goes_on(#[values(Told::Unread, Told::Read)] message: Told) -> Outcome {
    begin!(statements: ["FAULT-031"], axes: [Memory::Anon, Mode::MISSING, message])?;
    let (mut target, flags) = waiting_target(Memory::Anon, Mode::MISSING, None)?;
    if message == Told::Read {
        told(&target.uffd, flags, target.page(0).start, 0)?;
    }
    target.process.signal(Signal::SIGSTOP)?;
    ensure!(target.process.stops(), "SIGSTOP ended the process");
    ensure_eq!(waiting(&target.uffd)?, (0, 0), "pending and total while it is stopped");
    target.uffd.has_nothing_to_read()?;
    target.process.signal(Signal::SIGCONT)?;
    ensure!(target.process.waits_for_userfault(), "the access went through although nothing resolved its fault");
    told(&target.uffd, flags, target.page(0).start, 0)?;
    target.uffd.has_nothing_to_read()?;
    end_with(&mut target)
}

/// A tracer can stop a process that waits for its fault; let go, it faults again with the same message.
#[rstest]
#[test_attr(registered(conformance))]
fn a_tracer_stops_a_waiter_which_then_faults_again(#[values(Told::Unread, Told::Read)] message: Told) -> Outcome {
    begin!(statements: ["FAULT-031"], axes: [Memory::Anon, Mode::MISSING, message])?;
    let (mut target, flags) = waiting_target(Memory::Anon, Mode::MISSING, None)?;
    if message == Told::Read {
        told(&target.uffd, flags, target.page(0).start, 0)?;
    }
    let pid = Pid::from_raw(target.process.pid());
    let call = |result: nix::Result<()>| result.map_err(|errno| Stop::Error(format!("ptrace: {errno}")));
    call(ptrace::seize(pid, ptrace::Options::empty()))?;
    call(ptrace::interrupt(pid))?;
    call(waitpid(pid, Some(WaitPidFlag::__WALL)).map(drop))?;
    ensure_eq!(waiting(&target.uffd)?, (0, 0), "pending and total while it is stopped");
    target.uffd.has_nothing_to_read()?;
    call(ptrace::detach(pid, None))?;
    ensure!(target.process.waits_for_userfault(), "the access went through although nothing resolved its fault");
    told(&target.uffd, flags, target.page(0).start, 0)?;
    target.uffd.has_nothing_to_read()?;
    end_with(&mut target)
}

/// The target's fault is resolved with zeros, which is what it then exits with.
#[track_caller]
fn end_with(target: &mut Target) -> Outcome {
    target.uffd.zeropage(target.page(0).range(), 0).does(target.page(0).size as u64)?;
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the target's end");
    Ok(())
}

/// A system call that waits for a page is not interrupted by a signal with a handler; that runs when the call is done.
#[rstest]
#[test_attr(registered(conformance))]
fn a_signal_does_not_interrupt_a_waiting_call() -> Outcome {
    begin!(statements: ["FAULT-037"], axes: [Memory::Anon, Mode::MISSING], needs: [Need::KernelFaults])?;
    let scene = Faulting::new(Memory::Anon, Mode::MISSING, 1)?;
    let page = scene.page(0);
    sys::count_signals(libc::SIGUSR1, false).map_err(|errno| Stop::Error(format!("sigaction: {errno}")))?;
    let caller = Actor::start(move || {
        let made = KernelAccess::Read.make(page.start, page.size);
        (made, sys::signals_counted())
    })?;
    let sleep = caller.falls_asleep()?;
    told(&scene.uffd, UFFD_PAGEFAULT_FLAG_WRITE, page.start, 0)?;
    caller.signal(libc::SIGUSR1)?;
    // Kernels let the thread fault over and over while the signal is pending; one that lets it sleep does better.
    if caller.sleeps_on(sleep)? {
        variant("sleeps on");
    } else {
        variant("faults over and over");
        while let Err(Errno::EAGAIN) = scene.uffd.read_message() {
            ensure!(!caller.has_ended(), "the signal ended the call");
        }
    }
    ensure!(!caller.has_ended(), "the signal ended the call");
    scene.end_fault(0)?;
    let uffd_harness::actor::Ending::Returned((made, handled)) = caller.join()? else {
        return Err(crate::expect::broken("the call died of a signal"));
    };
    ensure_eq!(made?.result, Ok(page.size), "read");
    ensure_eq!(page.differs(DELIVERED), None, "what was read");
    ensure_eq!(handled, 1, "handlers run when the call is done");
    Ok(())
}
