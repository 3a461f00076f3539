//! epoll(7) on a userfaultfd.

use nix::sys::epoll::EpollFlags;
use uffd_harness::gate::Watcher;

use super::{faulting, waiter};
use crate::prelude::*;

#[track_caller]
fn watch(uffd: &Uffd, events: EpollFlags) -> Result<Watcher, Stop> {
    Watcher::new(uffd.fd(), events).map_err(|errno| broken(format!("epoll_ctl failed with {errno:?}")))
}

#[track_caller]
fn reports(watcher: &Watcher, events: Option<EpollFlags>) -> Outcome {
    ensure_eq!(watcher.wait(0), Ok(events), "epoll_wait");
    Ok(())
}

/// Level-triggered: `EPOLLIN` as long as a message is queued, and nothing else.
#[rstest]
#[test_attr(registered(conformance))]
fn it_reports_epollin_while_messages_are_queued() -> Outcome {
    begin!(statements: ["POLL-008"])?;
    let scene = faulting(Memory::Anon, Mode::MISSING, 2)?;
    let all = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLPRI | EpollFlags::EPOLLRDHUP;
    let watchers = [watch(&scene.uffd, EpollFlags::EPOLLIN)?, watch(&scene.uffd, all)?];
    let report = |events| watchers.iter().try_for_each(|watcher| reports(watcher, events));
    report(None)?;
    let _sleepers = [waiter(&scene, Mode::MISSING, 0)?, waiter(&scene, Mode::MISSING, 1)?];
    for _ in 0..2 {
        report(Some(EpollFlags::EPOLLIN))?;
    }
    scene.uffd.fault()?;
    report(Some(EpollFlags::EPOLLIN))?;
    scene.uffd.fault()?;
    report(None)
}

/// Edge-triggered: every fault is reported once, although earlier messages are still queued.
#[rstest]
#[test_attr(registered(conformance))]
fn edge_triggered_each_fault_is_reported_once() -> Outcome {
    begin!(statements: ["POLL-008"])?;
    let scene = faulting(Memory::Anon, Mode::MISSING, 3)?;
    let watcher = watch(&scene.uffd, EpollFlags::EPOLLIN | EpollFlags::EPOLLET)?;
    reports(&watcher, None)?;
    let mut sleepers = Vec::new();
    for index in 0..3 {
        sleepers.push(waiter(&scene, Mode::MISSING, index)?);
        reports(&watcher, Some(EpollFlags::EPOLLIN))?;
        reports(&watcher, None)?;
    }
    for index in 0..3 {
        scene.uffd.fault_at(0, scene.page(index).at(0))?;
        reports(&watcher, None)?;
    }
    scene.uffd.has_nothing_to_read()
}

/// Without `O_NONBLOCK`, and before the handshake, epoll reports `EPOLLERR`.
#[rstest]
#[test_attr(registered(conformance))]
fn it_reports_epollerr_where_poll_says_pollerr() -> Outcome {
    begin!(statements: ["POLL-003", "POLL-005", "POLL-008"])?;
    let uffd = given::raw_uffd()?;
    let watcher = watch(&uffd, EpollFlags::EPOLLIN)?;
    reports(&watcher, Some(EpollFlags::EPOLLERR))?;
    given::handshake(&uffd, 0)?;
    reports(&watcher, None)?;
    uffd.set_nonblocking(false).map_err(broken)?;
    // Registered anew, because a change of the flag wakes nobody.
    reports(&watch(&uffd, EpollFlags::EPOLLIN)?, Some(EpollFlags::EPOLLERR))
}
