//! A userfaultfd handed to another process, and a target that becomes another program.

use uffd_harness::actor::{ProcessEnding, task};
use uffd_harness::fdinfo::FdInfo;
use uffd_harness::sys;

use super::{faulting, polls_just};
use crate::prelude::*;

fn scene() -> Result<Scene, Stop> {
    faulting(Memory::Anon, Mode::MISSING, 2)
}

/// Who gets the descriptor by `SCM_RIGHTS` reads the sender's faults and fills the sender's memory.
#[rstest]
#[test_attr(registered(conformance))]
fn the_receiver_resolves_the_senders_faults() -> Outcome {
    begin!(statements: ["POLL-029"], axes: [Memory::Anon])?;
    let contents = [Pattern::new(0), Pattern::new(1)];
    let mut target = Scene::in_target(scene, |region, _| {
        // Each page is read through once; the whole of it must be what the monitor filled in.
        let wrong = (0..2).find(|index| region.page(*index).differs(contents[*index]).is_some());
        wrong.map_or(0, |index| index as i32 + 1)
    })?;
    for (index, content) in contents.into_iter().enumerate() {
        ensure!(target.process.waits_for_userfault(), "the target does not wait for its fault on page {index}");
        polls_just(&target.uffd, libc::POLLIN)?;
        let page = target.page(index);
        target.uffd.fault_at(0, page.at(0))?;
        let source = given::source(page.size, content)?;
        target.uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
    }
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the target, which looked at every word");
    target.uffd.has_nothing_to_read()
}

/// The receiver registers and unregisters ranges of the sender's memory, not of its own.
#[rstest]
#[test_attr(registered(conformance))]
fn the_receiver_registers_the_senders_memory() -> Outcome {
    begin!(statements: ["POLL-029"], axes: [Memory::Anon])?;
    let mut target = Scene::in_target(scene, |region, cue| {
        cue.wait();
        i32::from(Access::Read.make(region.page(1).at(0)))
    })?;
    let second = target.page(1).range();
    target.uffd.unregister(target.range).succeeds()?;
    given::register(&target.uffd, second, Mode::MISSING)?;
    target.cue()?;
    ensure!(
        target.process.waits_for_userfault(),
        "the target does not wait for a fault in the range registered for it"
    );
    target.uffd.fault_at(0, target.page(1).at(0))?;
    target.uffd.unregister(target.range).succeeds()?;
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the target, which read a zero page");
    Ok(())
}

/// execve(2) of the target ends its waiting threads, and its memory is gone: `ESRCH`, `ENOMEM`, nothing to read.
#[rstest]
#[test_attr(registered(conformance))]
fn exec_of_the_target_leaves_no_memory() -> Outcome {
    begin!(statements: ["POLL-030"], axes: [Memory::Anon])?;
    let (input, held) = std::io::pipe().map_err(broken)?;
    let mut target = Scene::in_target(scene, |region, cue| {
        let waits = |index: usize| {
            let waiter = Actor::access(Access::Read, region.page(index).at(0)).ok()?;
            waiter.falls_asleep().is_ok().then_some(waiter)
        };
        let (Some(_first), Some(_second)) = (waits(0), waits(1)) else { return 1 };
        cue.tell();
        cue.wait();
        sys::exec_self_and_hold(std::os::fd::AsFd::as_fd(&input)) as i32
    })?;
    drop(input);
    target.hear()?;
    let info = FdInfo::of(&target.uffd)?;
    ensure_eq!((info.pending, info.total), (2, 2), "the waiters unread and in all");
    target.uffd.fault_at(0, target.page(0).at(0))?;
    target.cue()?;
    // The target's end of the socket is closed by execve.
    ensure!(target.hear().is_err(), "the target goes on without execve");
    ensure!(task::is_alive(target.process.pid(), target.process.pid()), "the target ended instead of execve");

    polls_just(&target.uffd, 0)?;
    target.uffd.has_nothing_to_read()?;
    let info = FdInfo::of(&target.uffd)?;
    ensure_eq!((info.pending, info.total), (0, 0), "the waiters unread and in all");
    let source = given::source(target.page(0).size, Pattern::new(0))?;
    for page in [target.page(0).range(), target.page(1).range()] {
        target.uffd.copy(page, source.start() as u64, 0).is_refused(Errno::ESRCH)?;
        target.uffd.zeropage(page, 0).is_refused(Errno::ESRCH)?;
        target.uffd.register(page, UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::ENOMEM)?;
        target.uffd.unregister(page).is_refused(Errno::ENOMEM)?;
        target.uffd.wake(page).succeeds()?;
    }
    drop(held);
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the program that the target became");
    Ok(())
}
