//! What poll(2) and select(2) say: userfaultfd(2), NOTES on poll.

use uffd_harness::gate;

use super::{faulting, flags, polls_just, resolve, waiter};
use crate::calls::Call;
use crate::prelude::*;

/// With nothing queued there is nothing to poll and nothing to read: after the handshake, and after each further step.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_queued_is_nothing_to_poll() -> Outcome {
    begin!(statements: ["POLL-001", "POLL-011"])?;
    let is_idle = |uffd: &Uffd| {
        polls_just(uffd, 0)?;
        ensure_eq!(gate::select(uffd.fd()), Ok((false, false, false)), "select");
        uffd.has_nothing_to_read()
    };
    let uffd = given::uffd(0)?;
    is_idle(&uffd)?;
    let region = Memory::Anon.map(2)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    is_idle(&uffd)?;
    // Fills, wakes and accesses that find their page are no messages.
    uffd.zeropage(region.pages(0, 1), 0).does(region.page_size() as u64)?;
    uffd.wake(region.range()).succeeds()?;
    Actor::access(Access::Write, region.page(0).at(0))?.does_not_wait()?;
    is_idle(&uffd)?;
    // Nor is a call that failed.
    uffd.zeropage(region.pages(0, 1), 0).fails(Errno::EEXIST)?;
    is_idle(&uffd)?;
    uffd.unregister(region.range()).succeeds()?;
    is_idle(&uffd)
}

/// Queued faults are `POLLIN`, however often one looks, until the last of them has been read; their waiters sleep on.
#[rstest]
#[test_attr(registered(conformance))]
fn a_queued_fault_is_pollin(#[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode) -> Outcome {
    begin!(statements: ["POLL-002", "POLL-006"], axes: [Memory::ShmemMemfd, mode])?;
    let scene = faulting(Memory::ShmemMemfd, mode, 2)?;
    let first = waiter(&scene, mode, 0)?;
    polls_just(&scene.uffd, libc::POLLIN)?;
    polls_just(&scene.uffd, libc::POLLIN)?;
    ensure_eq!(gate::select(scene.uffd.fd()), Ok((true, false, false)), "select");
    let second = waiter(&scene, mode, 1)?;
    polls_just(&scene.uffd, libc::POLLIN)?;
    scene.uffd.fault_at(flags(mode), scene.page(0).at(0))?;
    polls_just(&scene.uffd, libc::POLLIN)?;
    scene.uffd.fault_at(flags(mode), scene.page(1).at(0))?;
    polls_just(&scene.uffd, 0)?;
    ensure_eq!(gate::select(scene.uffd.fd()), Ok((false, false, false)), "select");
    scene.uffd.has_nothing_to_read()?;
    for (waiter, sleep) in [first, second] {
        waiter.is_still_in(sleep)?;
    }
    Ok(())
}

/// A fault that was resolved before it was read is gone from poll and read; others stay.
#[rstest]
#[test_attr(registered(conformance))]
fn a_resolved_fault_is_not_pollin(#[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode) -> Outcome {
    begin!(statements: ["POLL-002", "POLL-006"], axes: [Memory::ShmemMemfd, mode])?;
    let scene = faulting(Memory::ShmemMemfd, mode, 2)?;
    let (first, second) = (waiter(&scene, mode, 0)?, waiter(&scene, mode, 1)?);
    resolve(&scene, mode, 0)?;
    first.0.is_woken()?;
    polls_just(&scene.uffd, libc::POLLIN)?;
    second.0.is_still_in(second.1)?;
    scene.uffd.fault_at(flags(mode), scene.page(1).at(0))?;
    polls_just(&scene.uffd, 0)?;
    // Woken without a resolution it faults anew, which is a new message.
    scene.uffd.wake(scene.page(1).range()).succeeds()?;
    second.0.faults_again(second.1)?;
    polls_just(&scene.uffd, libc::POLLIN)?;
    resolve(&scene, mode, 1)?;
    second.0.is_woken()?;
    polls_just(&scene.uffd, 0)?;
    scene.uffd.has_nothing_to_read()
}

/// A queued event is `POLLIN` until it has been read.
#[rstest]
#[test_attr(registered(conformance))]
fn a_queued_event_is_pollin(#[values(Call::Fork, Call::Mremap, Call::Madvise, Call::Munmap)] call: Call) -> Outcome {
    begin!(statements: ["POLL-002", "POLL-006"], axes: [call])?;
    let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 2, call.feature())?;
    let caller = call.start(&scene.region)?;
    caller.causes_a_message(&scene.uffd)?;
    for _ in 0..2 {
        polls_just(&scene.uffd, libc::POLLIN)?;
        ensure_eq!(gate::select(scene.uffd.fd()), Ok((true, false, false)), "select");
    }
    let message = scene.uffd.message()?;
    ensure!(call.event(&scene.region, message), "the message says {:?}", message.event());
    polls_just(&scene.uffd, 0)?;
    ensure_eq!(caller.ends_without_a_message(&scene.uffd)?, Ok(()), "the call");
    Ok(())
}

/// Without `O_NONBLOCK` poll says `POLLERR` and select "readable and writable", with messages queued and without.
#[rstest]
#[test_attr(registered(conformance))]
fn a_blocking_userfaultfd_polls_pollerr(#[values(false, true)] event: bool) -> Outcome {
    begin!(statements: ["POLL-003", "POLL-004"], axes: [super::events::Kind::new(event)])?;
    let features = if event { UFFD_FEATURE_EVENT_REMOVE } else { 0 };
    let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 2, features)?;
    let is_an_error = || {
        scene.uffd.set_nonblocking(false).map_err(broken)?;
        polls_just(&scene.uffd, libc::POLLERR)?;
        ensure_eq!(gate::select(scene.uffd.fd()), Ok((true, true, false)), "select");
        scene.uffd.set_nonblocking(true).map_err(broken)
    };
    is_an_error()?;
    polls_just(&scene.uffd, 0)?;
    let caller = if event { Some(Call::Madvise.start(&scene.region)?) } else { None };
    let _sleeper = if event { None } else { Some(waiter(&scene, Mode::MISSING, 0)?) };
    if let Some(caller) = &caller {
        caller.causes_a_message(&scene.uffd)?;
    }
    is_an_error()?;
    polls_just(&scene.uffd, libc::POLLIN)?;
    scene.uffd.message()?;
    is_an_error()?;
    polls_just(&scene.uffd, 0)
}

/// Before the handshake poll says `POLLERR` and select "readable and writable", nonblocking or not; after it nothing.
#[rstest]
#[test_attr(registered(conformance))]
fn before_the_handshake_poll_says_pollerr() -> Outcome {
    begin!(statements: ["POLL-004", "POLL-005"])?;
    let uffd = given::raw_uffd()?;
    for nonblocking in [true, false, true] {
        uffd.set_nonblocking(nonblocking).map_err(broken)?;
        polls_just(&uffd, libc::POLLERR)?;
        ensure_eq!(gate::select(uffd.fd()), Ok((true, true, false)), "select, nonblocking: {nonblocking}");
    }
    // A refused handshake is none.
    uffd.api(0, 0).is_refused_with_zeros(Errno::EINVAL)?;
    polls_just(&uffd, libc::POLLERR)?;
    uffd.api(UFFD_API, 0).is_granted()?;
    polls_just(&uffd, 0)?;
    ensure_eq!(gate::select(uffd.fd()), Ok((false, false, false)), "select after the handshake");
    Ok(())
}

/// Refused ranges never make poll say `POLLERR`.
#[rstest]
#[test_attr(registered(conformance))]
fn refused_ranges_are_no_pollerr() -> Outcome {
    begin!(statements: ["POLL-007"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    let (plain, end) = (Memory::Anon.map(1)?, Range::new(scene.region.end() as u64, scene.region.page_size() as u64));
    scene.uffd.zeropage(plain.range(), 0).fails(Errno::ENOENT)?;
    scene.uffd.copy(end, plain.start() as u64, 0).fails(Errno::ENOENT)?;
    scene.uffd.wake(Range::new(1, 1)).is_refused(Errno::EINVAL)?;
    scene.uffd.register(Range::new(0, 0), UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
    polls_just(&scene.uffd, 0)?;
    scene.uffd.has_nothing_to_read()
}

/// When the target has gone, killed in a fault or not, poll says nothing, neither `POLLERR` nor `POLLHUP`, and its fault is gone.
#[rstest]
#[test_attr(registered(conformance))]
fn a_target_that_has_gone_is_no_pollerr() -> Outcome {
    begin!(statements: ["POLL-007"])?;
    let set_up = || Scene::new(Memory::Anon, Mode::MISSING, 1);
    for (faults, read) in [(false, false), (true, false), (true, true)] {
        let mut target = Scene::in_target(set_up, |region, cue| {
            if faults {
                Access::Read.make(region.start());
            }
            cue.wait();
            0
        })?;
        if faults {
            ensure!(target.process.waits_for_userfault(), "the target does not wait for its fault");
            polls_just(&target.uffd, libc::POLLIN)?;
        }
        if read {
            target.uffd.fault_at(0, target.page(0).at(0))?;
        }
        target.process.kill()?;
        polls_just(&target.uffd, 0)?;
        target.uffd.has_nothing_to_read()?;
        target.uffd.set_nonblocking(false).map_err(broken)?;
        polls_just(&target.uffd, libc::POLLERR)?;
    }
    Ok(())
}
