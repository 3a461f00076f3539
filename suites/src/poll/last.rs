//! Which close is the last one: duplicates, other processes, calls under way.

use std::io::{Read as _, Write as _};

use uffd_harness::memory::vma;

use super::waiter;
use crate::calls::Call;
use crate::prelude::*;

/// The userfaultfd still works through `uffd` for the region's second page: registered, waiters asleep, faults told.
#[track_caller]
fn is_alive(uffd: &Uffd, region: &Region) -> Outcome {
    ensure_eq!(vma::within(region.range())?[0].uffd_flags(), ["um"], "the mapping's flags");
    let page = region.page(1);
    let waiter = Actor::access(Access::Read, page.at(0))?;
    let sleep = waiter.falls_asleep()?;
    uffd.fault_at(0, page.at(0))?;
    waiter.is_still_in(sleep)?;
    uffd.zeropage(page.range(), 0).does(page.size as u64)?;
    waiter.is_woken()?;
    uffd.has_nothing_to_read()
}

/// Closing one of two descriptors changes nothing; closing the other releases the waiters and the range.
#[rstest]
#[test_attr(registered(conformance))]
fn a_duplicate_keeps_it_alive(#[values(false, true)] close_the_duplicate: bool) -> Outcome {
    begin!(statements: ["POLL-027"], axes: [Order::new(close_the_duplicate)])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 2)?;
    let (sleeper, sleep) = waiter(&scene, Mode::MISSING, 0)?;
    scene.uffd.fault()?;
    let duplicate = scene.uffd.duplicate().map_err(broken)?;
    let (first, last) = if close_the_duplicate { (duplicate, scene.uffd) } else { (scene.uffd, duplicate) };
    first.close().map_err(broken)?;
    sleeper.is_still_in(sleep)?;
    is_alive(&last, &scene.region)?;
    sleeper.is_still_in(sleep)?;
    last.close().map_err(broken)?;
    ensure_eq!(sleeper.is_woken()?, 0, "the byte read");
    ensure_eq!(vma::within(scene.region.range())?[0].uffd_flags(), [""; 0], "the mapping's flags");
    Ok(())
}

/// Which descriptor is closed first.
#[derive(Debug, Clone, Copy)]
enum Order {
    Original,
    Duplicate,
}

impl Order {
    const fn new(duplicate: bool) -> Self {
        if duplicate { Self::Duplicate } else { Self::Original }
    }
}

impl uffd_harness::case::Axis for Order {
    fn axis(&self) -> &'static str {
        "first"
    }
    fn value(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A descriptor in a forked process keeps it alive until that process ends.
#[rstest]
#[test_attr(registered(conformance))]
fn another_process_keeps_it_alive() -> Outcome {
    begin!(statements: ["POLL-027"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 2)?;
    let pipe = || std::io::pipe().map_err(broken);
    let ((mut go, mut tell), (mut answer, mut said)) = (pipe()?, pipe()?);
    // The child reads the message of the fault that comes after our close.
    let mut holder = Process::start(|| {
        let _ = go.read(&mut [0]);
        let told = scene.uffd.fault_at(0, scene.region.page(0).at(0)).is_ok();
        let _ = said.write(&[u8::from(told)]);
        let _ = go.read(&mut [0]);
        0
    })?;
    drop((go, said));
    scene.uffd.close().map_err(broken)?;
    let sleeper = Actor::access(Access::Read, scene.region.page(0).at(0))?;
    let sleep = sleeper.falls_asleep()?;
    tell.write_all(&[1]).map_err(broken)?;
    let mut told = [0];
    answer.read_exact(&mut told).map_err(broken)?;
    ensure_eq!(told, [1], "whether the other process was told of the fault");
    sleeper.is_still_in(sleep)?;
    tell.write_all(&[1]).map_err(broken)?;
    holder.wait()?;
    ensure_eq!(sleeper.is_woken()?, 0, "the byte read");
    ensure_eq!(vma::within(scene.region.range())?[0].uffd_flags(), [""; 0], "the mapping's flags");
    Ok(())
}

/// A read that waits is not woken by the close of its descriptor; it gets the next message, and with it goes the last reference.
#[rstest]
#[test_attr(registered(conformance))]
fn a_read_under_way_outlives_the_close() -> Outcome {
    begin!(statements: ["POLL-028"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    scene.uffd.set_nonblocking(false).map_err(broken)?;
    let (uffd, region): (&'static Uffd, Region) = (Box::leak(Box::new(scene.uffd)), scene.region);
    let reader = Actor::start(move || uffd.read_message())?;
    let sleep = reader.falls_asleep_in(libc::SYS_read)?;
    uffd.close_under_use().map_err(broken)?;
    reader.is_still_asleep_in(libc::SYS_read, sleep)?;
    ensure_eq!(vma::within(region.range())?[0].uffd_flags(), ["um"], "the mapping's flags");
    let faulter = Actor::access(Access::Read, region.start())?;
    let Ending::Returned(Ok(message)) = reader.join()? else { return Err(broken("the read under way failed")) };
    let fault = Event::Pagefault { flags: 0, address: region.start() as u64, ptid: 0 };
    ensure_eq!(message.event(), fault, "the message of the read under way");
    let Ending::Returned(byte) = faulter.join()? else { return Err(broken("the access failed")) };
    ensure_eq!(byte, 0, "the byte read");
    ensure_eq!(vma::within(region.range())?[0].uffd_flags(), [""; 0], "the mapping's flags");
    Ok(())
}

/// A fork that waits for its event to be read is not released by the close: its half-made child has the descriptor too.
#[rstest]
#[test_attr(registered(conformance))]
fn a_fork_that_waits_for_its_event_waits_on() -> Outcome {
    begin!(statements: ["POLL-026"], axes: [Memory::Anon, Call::Fork])?;
    let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 2, UFFD_FEATURE_EVENT_FORK)?;
    let caller = Call::Fork.start(&scene.region)?;
    caller.causes_a_message(&scene.uffd)?;
    let sleep = caller.falls_asleep_in(Call::Fork.number())?;
    scene.uffd.close().map_err(broken)?;
    caller.is_still_asleep_in(Call::Fork.number(), sleep)?;
    ensure_eq!(vma::within(scene.region.range())?[0].uffd_flags(), ["um"], "the mapping's flags");
    Ok(())
}
