//! A second userfaultfd of the same process.

use uffd_harness::sys;

use super::range::end_of_memory;
use super::{Call, Stage, all_absent};
use crate::prelude::*;

/// Another userfaultfd may fill the page, but neither that nor its wake wakes the thread that waits at this one.
pub fn fills_without_waking(call: Call, memory: Memory) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let foreign = given::uffd(call.features())?;
    stage.request.make(&foreign).does(stage.page().size as u64)?;
    foreign.has_nothing_to_read()?;
    stage.is_filled_but_not_woken()?;
    foreign.wake(stage.page().range()).succeeds()?;
    stage.is_filled_but_not_woken()?;
    stage.is_woken_by_wake()
}

/// A wake reaches the waiters of its own userfaultfd alone, however wide the range.
pub fn wakes_only_its_own(memory: Memory) -> Outcome {
    let (ours, theirs) = (Scene::new(memory, Mode::MISSING, 1)?, Scene::new(memory, Mode::MISSING, 1)?);
    let pages = [ours.page(0), theirs.page(0)];
    let sleeper = |uffd: &Uffd, index: usize| {
        let waiter = Actor::access(Access::Read, pages[index].at(0))?;
        let sleep = waiter.falls_asleep()?;
        uffd.fault_at(0, pages[index].start)?;
        Ok::<_, Stop>((waiter, sleep))
    };
    let (our_waiter, our_sleep) = sleeper(&ours.uffd, 0)?;
    let (their_waiter, their_sleep) = sleeper(&theirs.uffd, 1)?;
    ours.uffd.wake(pages[1].range()).succeeds()?;
    our_waiter.is_still_in(our_sleep)?;
    their_waiter.is_still_in(their_sleep)?;
    let first = sys::page_size() as u64 * 256;
    ours.uffd.wake(Range::new(first, end_of_memory()? - first)).succeeds()?;
    our_waiter.faults_again(our_sleep)?;
    their_waiter.is_still_in(their_sleep)?;
    ours.uffd.fault_at(0, pages[0].start)?;
    theirs.uffd.has_nothing_to_read()?;
    all_absent(pages)?;
    theirs.uffd.wake(pages[1].range()).succeeds()?;
    their_waiter.faults_again(their_sleep)?;
    Ok(())
}
