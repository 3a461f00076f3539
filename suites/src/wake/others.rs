//! `UFFDIO_WAKE` and what else goes on: other userfaultfds, other descriptors, events that wait to be read.

use uffd_harness::case::Axis;
use uffd_harness::{Error, sys};

use crate::prelude::*;
use crate::waiters::Waiter;

/// A userfaultfd wakes the threads that wait for it, wherever the range reaches, and none that wait for another.
#[apply(one_of_each_class)]
fn waiters_of_another_userfaultfd_sleep_on(memory: Memory) -> Outcome {
    begin!(statements: ["WAKE-008"], axes: [memory, Mode::MISSING])?;
    let (one, other) = (Scene::new(memory, Mode::MISSING, 1)?, Scene::new(memory, Mode::MISSING, 1)?);
    let mut of_one = Waiter::at(&one, Access::Read, one.page(0).at(0))?;
    let of_other = Waiter::at(&other, Access::Read, other.page(0).at(0))?;
    let unread_of_other = Waiter::unread(&other, Access::Read, other.page(0).at(8))?;
    let start = one.region.start().min(other.region.start());
    let end = one.region.end().max(other.region.end());
    for range in [other.page(0).range(), Range::new(start as u64, (end - start) as u64)] {
        one.uffd.wake(range).succeeds()?;
        of_other.sleeps_on()?;
        unread_of_other.sleeps_on()?;
    }
    of_one.faults_again()?;
    of_one.message_is_next(&one)?;
    unread_of_other.message_is_next(&other)?;
    one.uffd.has_nothing_to_read()?;
    other.uffd.has_nothing_to_read()
}

/// Any descriptor of the userfaultfd will do.
#[apply(one_of_each_class)]
fn a_duplicate_wakes_as_well(memory: Memory) -> Outcome {
    begin!(statements: ["WAKE-001"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 1)?;
    let waiter = Waiter::at(&scene, Access::Read, scene.page(0).at(0))?;
    scene.resolve(Resolver::Copy, 0, 1, false)?.does(scene.page(0).size as u64)?;
    waiter.sleeps_on()?;
    given::duplicate(&scene.uffd)?.wake(scene.page(0).range()).succeeds()?;
    waiter.is_woken_to(Scene::filled(Resolver::Copy, 0))
}

/// A change of the address space that waits until its event is read.
#[derive(Debug, Clone, Copy)]
enum Change {
    Remove,
    Unmap,
    Remap,
}

impl Axis for Change {
    fn axis(&self) -> &'static str {
        "change"
    }
    fn value(&self) -> String {
        match self {
            Self::Remove => "remove",
            Self::Unmap => "unmap",
            Self::Remap => "remap",
        }
        .to_owned()
    }
    fn needs(&self) -> Vec<Need> {
        vec![Need::Feature(self.feature())]
    }
}

impl Change {
    const fn feature(self) -> u64 {
        match self {
            Self::Remove => UFFD_FEATURE_EVENT_REMOVE,
            Self::Unmap => UFFD_FEATURE_EVENT_UNMAP,
            Self::Remap => UFFD_FEATURE_EVENT_REMAP,
        }
    }

    /// Makes the change to a page.
    fn make(self, page: Page) -> Result<(), Errno> {
        match self {
            Self::Remove => sys::advise(page.start, page.size, libc::MADV_DONTNEED),
            Self::Unmap => sys::unmap(page.start, page.size),
            Self::Remap => {
                // Behind the page lie inaccessible ones; the second of them makes place.
                sys::remap(
                    page.start,
                    page.size,
                    page.size,
                    libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                    page.start + 2 * page.size,
                )
                .map(drop)
            }
        }
    }
}

/// While an event waits to be read the fill ioctls give `EAGAIN`, but `UFFDIO_WAKE` wakes.
#[rstest]
#[test_attr(registered(conformance))]
fn a_pending_event_does_not_keep_it(
    #[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory,
    #[values(Change::Remove, Change::Unmap, Change::Remap)] change: Change,
) -> Outcome {
    begin!(statements: ["WAKE-007"], axes: [memory, Mode::MISSING, change])?;
    let scene = Scene::with_features(memory, Mode::MISSING, 3, change.feature())?;
    let (page, changed) = (scene.page(0), scene.page(2));
    let waiter = Waiter::at(&scene, Access::Read, page.at(0))?;
    scene.resolve(Resolver::Copy, 0, 1, false)?.does(page.size as u64)?;
    let changer = Actor::start(move || change.make(changed))?;
    // The thread blocks on its way into the event, not only in it: wait for the message, within reason.
    let polled = scene.uffd.poll(5000).map_err(|errno| Error::call("poll", errno))?;
    ensure_eq!(polled, libc::POLLIN, "poll while a change waits for its event to be read");
    let reply = scene.resolve(Resolver::Copy, 1, 1, true)?;
    ensure_eq!(reply.result, Err(Errno::EAGAIN), "UFFDIO_COPY while the event is pending");
    waiter.sleeps_on()?;
    scene.uffd.wake(page.range()).succeeds()?;
    waiter.is_woken_to(Scene::filled(Resolver::Copy, 0))?;
    ensure!(!changer.has_ended(), "the change did not wait for its event to be read");
    let event = scene.uffd.message()?.event();
    ensure!(!matches!(event, Event::Pagefault { .. }), "an event of the change is expected, it is {event:?}");
    ensure_eq!(changer.is_woken()?, Ok(()), "the change");
    Ok(())
}
