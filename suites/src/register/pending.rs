//! Registering while an event of the same userfaultfd waits to be read.

use uffd_harness::sys;

use super::ioctls;
use crate::prelude::*;

/// A change of the memory that waits until its event has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Remove,
    Unmap,
    Remap,
}

impl Change {
    const fn feature(self) -> u64 {
        match self {
            Self::Remove => UFFD_FEATURE_EVENT_REMOVE,
            Self::Unmap => UFFD_FEATURE_EVENT_UNMAP,
            Self::Remap => UFFD_FEATURE_EVENT_REMAP,
        }
    }

    /// Makes the change, of one page, for as long as it takes.
    fn make(self, start: usize, size: usize) -> Result<(), Errno> {
        match self {
            Self::Remove => sys::advise(start, size, libc::MADV_DONTNEED),
            Self::Unmap => sys::unmap(start, size),
            Self::Remap => sys::remap(start, size, 2 * size, libc::MREMAP_MAYMOVE, 0).map(drop),
        }
    }

    /// Whether this is the event of that change of the page.
    fn is(self, event: Event, page: Page) -> bool {
        let (first, last) = (page.start as u64, (page.start + page.size) as u64);
        match (self, event) {
            (Self::Remove, Event::Remove { start, end }) | (Self::Unmap, Event::Unmap { start, end }) => {
                start == first && end == last
            }
            (Self::Remap, Event::Remap { from, .. }) => from == first,
            _ => false,
        }
    }
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

/// While an event waits to be read, `UFFDIO_COPY` has to be tried again, but a further range can be registered.
#[rstest]
#[test_attr(registered(conformance))]
fn a_pending_event_does_not_stop_a_registration(
    #[values(Change::Remove, Change::Unmap, Change::Remap)] change: Change,
) -> Outcome {
    begin!(statements: ["REG-053"], axes: [Memory::Anon, Mode::MISSING, change])?;
    let uffd = given::uffd(change.feature())?;
    let (region, other) = (Memory::Anon.map(1)?, Memory::Anon.map(2)?);
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let page = region.page(0);
    let changer = Actor::start(move || change.make(page.start, page.size))?;
    while !changer.has_ended() && uffd.poll(1) == Ok(0) {}
    ensure!(!changer.has_ended(), "the change did not wait for its event to be read");
    uffd.register(other.range(), UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&other, &[(other.range(), Mode::MISSING)])?;
    let source = given::source(page.size, Pattern::new(1))?;
    let copied = uffd.copy(other.pages(0, 1), source.start() as u64, 0);
    ensure_eq!(copied.result, Err(Errno::EAGAIN), "UFFDIO_COPY while the event is pending");
    let event = uffd.message()?.event();
    ensure!(change.is(event, page), "the event is {event:?}");
    ensure_eq!(changer.join()?, Ending::Returned(Ok(())), "the change");
    tracking::delivered(&uffd, other.page(1), Mode::MISSING)?;
    Ok(())
}
