//! Who `UFFDIO_UNREGISTER` wakes, and who it leaves asleep.

use crate::expect::broken;
use crate::look::Look as _;
use crate::prelude::*;

/// Every thread that waits for a missing page of the range goes on with what the kernel gives; one outside sleeps on.
#[apply(one_of_each_class)]
fn missing_waiters_are_woken(memory: Memory) -> Outcome {
    begin!(statements: ["UNREG-009"], axes: [memory, Mode::MISSING])?;
    let Scene { uffd, region, .. } = &Scene::new(memory, Mode::MISSING, 3)?;
    let [first, second, outside] = [0, 1, 2].map(|index| region.page(index));
    let (read, _) = tracking::delivered(uffd, first, Mode::MISSING)?;
    let (read_too, _) = tracking::delivered(uffd, first, Mode::MISSING)?;
    let (outside_waiter, sleep) = tracking::delivered(uffd, outside, Mode::MISSING)?;
    // The message of this one is never read.
    let unread = Actor::access(Access::Write, second.at(8))?;
    unread.falls_asleep()?;
    uffd.unregister(region.pages(0, 2)).succeeds()?;
    for waiter in [read, read_too] {
        ensure_eq!(waiter.is_woken()?, 0, "the byte that a waiter read");
    }
    unread.is_woken()?;
    uffd.has_nothing_to_read()?;
    outside_waiter.is_still_in(sleep)?;
    ensure_eq!(first.differs(Pattern::ZERO), None, "the page that was waited for");
    uffd.wake(outside.range()).succeeds()?;
    outside_waiter.faults_again(sleep)?;
    uffd.fault_at(0, outside.start)?;
    Ok(())
}

/// A thread that waits outside the range keeps its unread message too.
#[apply(one_of_each_class)]
fn unread_messages_of_others_stay(memory: Memory) -> Outcome {
    begin!(statements: ["UNREG-002", "UNREG-009"], axes: [memory, Mode::MISSING])?;
    let Scene { uffd, region, .. } = &Scene::new(memory, Mode::MISSING, 3)?;
    let [before, inside, behind] = [0, 1, 2].map(|index| region.page(index));
    let mut waiters = Vec::new();
    for page in [before, inside, behind] {
        let waiter = Actor::access(Access::Read, page.at(0))?;
        let sleep = waiter.falls_asleep()?;
        waiters.push((waiter, sleep));
    }
    uffd.unregister(inside.range()).succeeds()?;
    waiters[1].0.is_woken()?;
    waiters[0].0.is_still_in(waiters[0].1)?;
    waiters[2].0.is_still_in(waiters[2].1)?;
    uffd.fault_at(0, before.start)?;
    uffd.fault_at(0, behind.start)?;
    uffd.has_nothing_to_read()
}

/// Where a range is registered for MISSING and more, everyone who waits in it is woken, whatever for.
#[rstest]
#[test_attr(registered(conformance))]
fn missing_beside_another_mode_wakes_all(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
    #[values(Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["UNREG-009"], axes: [memory, mode.and(Mode::MISSING)])?;
    let Scene { uffd, region, .. } = &tracking::before(memory, mode, 1)?;
    given::register(uffd, region.range(), mode.and(Mode::MISSING))?;
    let page = region.page(0);
    let (waiter, _) = tracking::delivered(uffd, page, mode)?;
    uffd.unregister(page.range()).succeeds()?;
    waiter.is_woken()?;
    uffd.has_nothing_to_read()
}

/// What lets a thread go on that was left asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Wake,
    Close,
}

impl Axis for Release {
    fn axis(&self) -> &'static str {
        "release"
    }
    fn value(&self) -> String {
        if *self == Self::Wake { "wake" } else { "close" }.to_owned()
    }
}

/// Without MISSING the waiters may be left asleep; then `UFFDIO_WAKE` or the last close lets them go on.
#[rstest]
#[test_attr(registered(conformance))]
fn other_waiters_go_on_by_wake_or_close(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
    #[values(Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
    #[values(Release::Wake, Release::Close)] release: Release,
) -> Outcome {
    begin!(statements: ["UNREG-010"], axes: [memory, mode, release])?;
    let Scene { uffd, region, .. } = tracking::before(memory, mode, 2)?;
    given::register(&uffd, region.range(), mode)?;
    let page = region.page(0);
    let (waiter, sleep) = tracking::delivered(&uffd, page, mode)?;
    uffd.unregister(region.range()).succeeds()?;
    tracking::nothing(&region)?;
    match waiter.sight()? {
        Sight::Asleep(now) if now == sleep => {
            variant("left asleep");
            match release {
                Release::Wake => uffd.wake(page.range()).succeeds()?,
                Release::Close => uffd.close().map_err(|errno| Stop::Error(format!("close: {errno}")))?,
            }
            waiter.is_woken()?;
        }
        Sight::Asleep(_) => return Err(broken("the waiter was woken and waits again in an unregistered range")),
        Sight::Ended(Ending::Signal(info)) => return Err(broken(format!("the waiter died of {info:?}"))),
        Sight::Ended(Ending::Returned(_)) => variant("woken"),
    }
    page.holds_but_written(Scene::cached(0), if mode == Mode::WP { &[0] } else { &[] })
}
