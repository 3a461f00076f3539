//! An event that waits to be read.

use uffd_harness::Errno;
use uffd_harness::actor::{Actor, Ending};
use uffd_harness::case::{Axis, Outcome, Stop};
use uffd_harness::memory::{Memory, Region};
use uffd_harness::message::Event;
use uffd_harness::mode::Mode;
use uffd_harness::need::Need;
use uffd_harness::uapi::*;
use uffd_harness::uffd::Uffd;
use uffd_harness::{Error, sys};

use super::{Call, Stage};
use crate::ensure;
use crate::expect::{Expect as _, Messages as _, broken};
use crate::given;

/// A change of the address space that waits until its event is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// `madvise(MADV_DONTNEED)`
    Remove,
    /// `munmap`
    Unmap,
    /// `mremap`
    Remap,
    /// `fork`
    Fork,
}

impl Axis for Pending {
    fn axis(&self) -> &'static str {
        "event"
    }
    fn value(&self) -> String {
        match self {
            Self::Remove => "remove",
            Self::Unmap => "unmap",
            Self::Remap => "remap",
            Self::Fork => "fork",
        }
        .to_owned()
    }
    fn needs(&self) -> Vec<Need> {
        let mut needs = vec![Need::Feature(self.feature())];
        needs.extend((*self == Self::Fork).then_some(Need::Capability("CAP_SYS_PTRACE")));
        needs
    }
}

impl Pending {
    /// The feature that makes it an event.
    pub const fn feature(self) -> u64 {
        match self {
            Self::Remove => UFFD_FEATURE_EVENT_REMOVE,
            Self::Unmap => UFFD_FEATURE_EVENT_UNMAP,
            Self::Remap => UFFD_FEATURE_EVENT_REMAP,
            Self::Fork => UFFD_FEATURE_EVENT_FORK,
        }
    }

    const fn is(self, event: Event) -> bool {
        matches!(
            (self, event),
            (Self::Remove, Event::Remove { .. })
                | (Self::Unmap, Event::Unmap { .. })
                | (Self::Remap, Event::Remap { .. })
                | (Self::Fork, Event::Fork { .. })
        )
    }

    /// Makes the change to `region` and returns when its event has been read.
    fn make(self, region: &Region, elsewhere: &Region) -> Result<(), Errno> {
        let (start, len) = (region.start(), region.len());
        match self {
            Self::Remove => sys::advise(start, len, libc::MADV_DONTNEED),
            Self::Unmap => sys::unmap(start, len),
            Self::Remap => {
                let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
                sys::remap(start, len, len, flags, elsewhere.start()).map(drop)
            }
            Self::Fork => {
                let child = nix::unistd::Pid::from_raw(sys::fork_and_exit()?);
                nix::sys::wait::waitpid(child, None).map(drop)
            }
        }
    }
}

/// An event that nobody has read yet, and the thread that waits for that.
pub struct Waiting {
    pending: Pending,
    thread: Actor<Result<(), Errno>>,
}

impl Waiting {
    /// Makes the change to a page of its own, registered at the same userfaultfd, in a thread; returns when the event is there.
    #[track_caller]
    pub fn begin(uffd: &Uffd, pending: Pending) -> Result<Self, Stop> {
        let (region, elsewhere) = (Memory::Anon.map(1)?, Memory::Anon.map(1)?);
        given::register(uffd, region.range(), Mode::MISSING)?;
        let thread = Actor::start(move || pending.make(&region, &elsewhere))?;
        match uffd.poll(5_000) {
            Ok(libc::POLLIN) => Ok(Self { pending, thread }),
            other => Err(broken(format!("no event came: poll says {other:?}"))),
        }
    }

    /// Reads the event, and waits until the change has been made.
    #[track_caller]
    pub fn end(self, uffd: &Uffd) -> Outcome {
        let event = uffd.message()?.event();
        ensure!(self.pending.is(event), "expected the event of {:?}, the message says {event:?}", self.pending);
        self.is_over()
    }

    /// Waits until the change has been made; its event has been read.
    #[track_caller]
    fn is_over(self) -> Outcome {
        match self.thread.join()? {
            Ending::Returned(Ok(())) => Ok(()),
            Ending::Returned(Err(errno)) => Err(Error::call(format!("{:?}", self.pending), errno).into()),
            Ending::Signal(info) => Err(broken(format!("the thread died of {info:?}"))),
        }
    }
}

/// While an event waits to be read the ioctl gives `EAGAIN` and says so in its result field too; then it works.
pub fn holds_up(call: Call, memory: Memory, pending: Pending) -> Outcome {
    let stage = Stage::with_features(call, memory, pending.feature())?;
    let waiting = Waiting::begin(stage.uffd(), pending)?;
    for _ in 0..2 {
        stage.request.make(stage.uffd()).fails(Errno::EAGAIN)?;
    }
    stage.is_unchanged_but_for_messages()?;
    waiting.end(stage.uffd())?;
    stage.is_unchanged()?;
    stage.works()
}

/// While an event waits to be read a wake still wakes, and leaves the event alone.
pub fn does_not_hold_up_a_wake(memory: Memory, pending: Pending) -> Outcome {
    let stage = Stage::with_features(Call::Wake, memory, pending.feature())?;
    let waiting = Waiting::begin(stage.uffd(), pending)?;
    stage.request.make(stage.uffd()).succeeds()?;
    stage.waiter_faults_again()?;
    // In which order fault and event are read is no matter of this case.
    let read = [stage.uffd().message()?.event(), stage.uffd().message()?.event()];
    ensure!(read.iter().any(|event| waiting.pending.is(*event)), "the event of {pending:?} is lost: {read:?}");
    let fault = Event::Pagefault { flags: 0, address: stage.page().start as u64, ptid: 0 };
    ensure!(read.contains(&fault), "expected {fault:?} among {read:?}");
    waiting.is_over()?;
    stage.uffd().has_nothing_to_read()
}
