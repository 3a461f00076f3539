//! Calls that wait: a blocking read, poll and epoll_wait, and what ends their wait.

use std::time::{Duration, Instant};

use nix::sys::epoll::EpollFlags;
use uffd_harness::case::Axis;
use uffd_harness::gate::{self, Watcher};
use uffd_harness::kernel;
use uffd_harness::sys;

use super::events::Kind;
use super::waiter;
use crate::calls::Call;
use crate::prelude::*;

/// A call that waits for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Read,
    Poll,
    Epoll,
}

/// Longer than any case may take.
const LIMIT: Duration = Duration::from_mins(1);

impl Wait {
    /// Waits for a message, and says whether it got it and nothing else.
    fn on(self, uffd: &Uffd) -> Result<bool, Errno> {
        match self {
            Self::Read => uffd.read(4 * 32).map(|bytes| bytes.len() == 32),
            Self::Poll => uffd.poll(LIMIT.as_millis() as i32).map(|revents| revents == libc::POLLIN),
            Self::Epoll => Watcher::new(uffd.fd(), EpollFlags::EPOLLIN)?
                .wait(LIMIT.as_millis() as u16)
                .map(|events| events == Some(EpollFlags::EPOLLIN)),
        }
    }
}

impl Axis for Wait {
    fn axis(&self) -> &'static str {
        "wait"
    }
    fn value(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Every thread that waits in poll or epoll_wait is woken by the first fault and by the first event, and so is one in read.
#[rstest]
#[test_attr(registered(conformance))]
fn a_message_ends_the_wait(
    #[values(Wait::Read, Wait::Poll, Wait::Epoll)] wait: Wait,
    #[values(Kind::Fault, Kind::Event)] message: Kind,
) -> Outcome {
    begin!(statements: ["POLL-002", "POLL-008", "POLL-012"], axes: [wait, message])?;
    let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 2, UFFD_FEATURE_EVENT_REMOVE)?;
    scene.uffd.set_nonblocking(wait != Wait::Read).map_err(broken)?;
    let mut monitors = Vec::new();
    for _ in 0..if wait == Wait::Read { 1 } else { 2 } {
        let uffd = scene.uffd.duplicate().map_err(broken)?;
        let monitor = Actor::start(move || wait.on(&uffd))?;
        ensure!(monitor.blocks()?, "the monitor does not wait");
        monitors.push(monitor);
    }
    let begun = Instant::now();
    let (faulter, caller) = match message {
        Kind::Fault => (Some(waiter(&scene, Mode::MISSING, 0)?), None),
        Kind::Event => (None, Some(Call::Madvise.start(&scene.region)?)),
    };
    for monitor in monitors {
        ensure_eq!(monitor.join()?, Ending::Returned(Ok(true)), "whether the monitor got just the message");
    }
    ensure!(begun.elapsed() < LIMIT, "the monitor's wait ended by its time limit");
    if let Some((faulter, sleep)) = faulter {
        faulter.is_still_in(sleep)?;
    }
    if let (Some(caller), Wait::Read) = (caller, wait) {
        ensure_eq!(caller.join()?, Ending::Returned(Ok(())), "the call whose event was read");
    }
    Ok(())
}

/// A blocking read waits for the first message only: it takes what is there and does not wait for more.
#[rstest]
#[test_attr(registered(conformance))]
fn a_blocking_read_drains_without_waiting() -> Outcome {
    begin!(statements: ["POLL-012", "POLL-013"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 4)?;
    let reader = |uffd: Uffd| Actor::start(move || uffd.read(16 * 32).map(|bytes| bytes.len()));
    let mut sleepers = Vec::new();
    for index in 0..3 {
        sleepers.push(waiter(&scene, Mode::MISSING, index)?);
    }
    scene.uffd.set_nonblocking(false).map_err(broken)?;
    let all = reader(scene.uffd.duplicate().map_err(broken)?)?;
    ensure_eq!(all.join()?, Ending::Returned(Ok(96)), "the bytes of a read with three messages queued");
    let next = reader(scene.uffd.duplicate().map_err(broken)?)?;
    next.falls_asleep_in(libc::SYS_read)?;
    sleepers.push(waiter(&scene, Mode::MISSING, 3)?);
    ensure_eq!(next.join()?, Ending::Returned(Ok(32)), "the bytes of a read that waited");
    for (sleeper, sleep) in sleepers {
        sleeper.is_still_in(sleep)?;
    }
    Ok(())
}

/// A signal whose handler was installed without `SA_RESTART` ends a blocking read with `EINTR`; no message is lost.
#[rstest]
#[test_attr(registered(conformance))]
fn a_signal_ends_a_blocking_read() -> Outcome {
    begin!(statements: ["POLL-014"])?;
    sys::catch_and_ignore(libc::SIGUSR1, false).map_err(broken)?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    scene.uffd.set_nonblocking(false).map_err(broken)?;
    let uffd = scene.uffd.duplicate().map_err(broken)?;
    let reader = Actor::start(move || uffd.read(64))?;
    reader.falls_asleep_in(libc::SYS_read)?;
    reader.signal(libc::SIGUSR1)?;
    ensure_eq!(reader.join()?, Ending::Returned(Err(Errno::EINTR)), "the read that a signal interrupted");
    let _sleeper = waiter(&scene, Mode::MISSING, 0)?;
    scene.uffd.set_nonblocking(true).map_err(broken)?;
    scene.uffd.fault_at(0, scene.page(0).at(0))?;
    scene.uffd.has_nothing_to_read()
}

/// With `SA_RESTART` the read goes on waiting after the handler, and gets the next message.
#[rstest]
#[test_attr(registered(conformance))]
fn a_blocking_read_resumes_after_a_signal() -> Outcome {
    begin!(statements: ["POLL-014"])?;
    sys::catch_and_ignore(libc::SIGUSR1, true).map_err(broken)?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    scene.uffd.set_nonblocking(false).map_err(broken)?;
    let uffd = scene.uffd.duplicate().map_err(broken)?;
    let reader = Actor::start(move || uffd.read_message())?;
    for _ in 0..2 {
        let sleep = reader.falls_asleep_in(libc::SYS_read)?;
        reader.signal(libc::SIGUSR1)?;
        ensure!(reader.falls_asleep_in(libc::SYS_read)? != sleep, "the signal did not interrupt the read");
    }
    let _sleeper = waiter(&scene, Mode::MISSING, 0)?;
    let Ending::Returned(Ok(message)) = reader.join()? else { return Err(broken("the resumed read failed")) };
    let fault = Event::Pagefault { flags: 0, address: scene.page(0).start as u64, ptid: 0 };
    ensure_eq!(message.event(), fault, "the message of the resumed read");
    Ok(())
}

/// Of two readers that wait, one gets the message and the other waits on for the next.
#[rstest]
#[test_attr(registered(conformance))]
fn of_two_readers_one_gets_the_message() -> Outcome {
    begin!(statements: ["POLL-018"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 2)?;
    scene.uffd.set_nonblocking(false).map_err(broken)?;
    let mut readers = Vec::new();
    for _ in 0..2 {
        let uffd = scene.uffd.duplicate().map_err(broken)?;
        let reader = Actor::start(move || uffd.read(4 * 32))?;
        reader.falls_asleep_in(libc::SYS_read)?;
        readers.push(reader);
    }
    for index in 0..2 {
        let _sleeper = waiter(&scene, Mode::MISSING, index)?;
        let got = loop {
            match readers.iter().position(Actor::has_ended) {
                Some(first) => break readers.remove(first),
                None => std::thread::yield_now(),
            }
        };
        let Ending::Returned(Ok(bytes)) = got.join()? else { return Err(broken("a blocking read failed")) };
        ensure_eq!(bytes.len(), 32, "the bytes that the first reader got");
        let address = scene.page(index).start.to_ne_bytes();
        ensure!(bytes[16..24] == address, "a reader got another message than that of fault {index}");
        for other in &readers {
            other.falls_asleep_in(libc::SYS_read)?;
        }
    }
    scene.uffd.set_nonblocking(true).map_err(broken)?;
    scene.uffd.has_nothing_to_read()
}

/// Through two descriptors, and in two processes, a message is read once.
#[rstest]
#[test_attr(registered(conformance))]
fn a_message_is_read_once_through_all_descriptors() -> Outcome {
    begin!(statements: ["POLL-018"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 2)?;
    let other = scene.uffd.duplicate().map_err(broken)?;
    let _sleepers = [waiter(&scene, Mode::MISSING, 0)?, waiter(&scene, Mode::MISSING, 1)?];
    other.fault_at(0, scene.page(0).at(0))?;
    given::in_a_child(|| {
        scene.uffd.fault_at(0, scene.page(1).at(0))?;
        other.has_nothing_to_read()
    })?;
    for uffd in [&scene.uffd, &other] {
        uffd.polls(0)?;
        uffd.has_nothing_to_read()?;
    }
    Ok(())
}

/// `RWF_NOWAIT` makes a read of a blocking userfaultfd answer `EAGAIN` instead of waiting, and give what is queued.
#[rstest]
#[test_attr(registered(conformance))]
fn rwf_nowait_does_not_wait() -> Outcome {
    begin!(statements: ["POLL-020"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    let read = |flags| -> Result<Ending<Result<Vec<u8>, Errno>>, Stop> {
        let uffd = scene.uffd.duplicate().map_err(broken)?;
        Ok(Actor::start(move || {
            let mut buffer = vec![0; 70];
            gate::preadv2(uffd.fd(), &mut buffer, flags).map(|count| buffer[..count].to_vec())
        })?
        .join()?)
    };
    scene.uffd.set_nonblocking(false).map_err(broken)?;
    match read(libc::RWF_NOWAIT)? {
        Ending::Returned(Err(Errno::EAGAIN)) => {}
        // No feature bit tells of it; it came two releases after MOVE.
        Ending::Returned(Err(Errno::EOPNOTSUPP)) if !kernel::current().has(UFFD_FEATURE_MOVE) => variant("eopnotsupp"),
        other => return Err(broken(format!("preadv2 with RWF_NOWAIT and nothing queued gave {other:?}"))),
    }
    let sleeper = waiter(&scene, Mode::MISSING, 0)?;
    let mut bytes = read(libc::RWF_NOWAIT)?;
    if bytes == Ending::Returned(Err(Errno::EOPNOTSUPP)) && !kernel::current().has(UFFD_FEATURE_MOVE) {
        // Refused without taking the message.
        bytes = read(0)?;
    }
    let Ending::Returned(Ok(bytes)) = bytes else { return Err(broken(format!("preadv2 gave {bytes:?}"))) };
    ensure_eq!(bytes.len(), 32, "the bytes of preadv2 with a message queued");
    ensure!(bytes[16..24] == scene.page(0).start.to_ne_bytes(), "preadv2 gave another message");
    sleeper.0.is_still_in(sleeper.1)
}

/// `O_ASYNC` cannot be set; the other flags are as before.
#[rstest]
#[test_attr(registered(conformance))]
fn o_async_does_not_stick() -> Outcome {
    begin!(statements: ["POLL-019"])?;
    let uffd = given::uffd(0)?;
    for flags in [libc::O_NONBLOCK, 0] {
        ensure_eq!(gate::set_status_flags(uffd.fd(), flags | libc::O_ASYNC), Ok(()), "fcntl(F_SETFL, O_ASYNC)");
        ensure_eq!(gate::status_flags(uffd.fd()), Ok(flags), "the status flags");
    }
    Ok(())
}
