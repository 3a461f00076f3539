//! An event that waits to be read.

use super::{Call, Stage};
use crate::calls;
use crate::prelude::*;

/// An event that nobody has read yet, and the thread that waits for that.
pub struct Waiting {
    change: calls::Call,
    region: Region,
    thread: Actor<Result<(), Errno>>,
}

impl Waiting {
    /// Makes the change to pages of its own, registered at the same userfaultfd, in a thread; returns when the event is there.
    #[track_caller]
    pub fn begin(uffd: &Uffd, change: calls::Call) -> Result<Self, Stop> {
        let region = Memory::Anon.map(2)?;
        given::register(uffd, region.range(), Mode::MISSING)?;
        let thread = change.start(&region)?;
        match uffd.poll(5_000) {
            Ok(libc::POLLIN) => Ok(Self { change, region, thread }),
            other => Err(broken(format!("no event came: poll says {other:?}"))),
        }
    }

    fn is_told_by(&self, message: Message) -> bool {
        self.change.event(&self.region, message)
    }

    /// Reads the event, and waits until the change has been made.
    #[track_caller]
    pub fn end(self, uffd: &Uffd) -> Outcome {
        let message = uffd.message()?;
        ensure!(
            self.is_told_by(message),
            "expected the event of {:?}, the message says {:?}",
            self.change,
            message.event()
        );
        self.is_over()
    }

    /// Waits until the change has been made; its event has been read.
    #[track_caller]
    fn is_over(self) -> Outcome {
        ensure_eq!(self.thread.join()?, Ending::Returned(Ok(())), "the end of {:?}", self.change);
        Ok(())
    }
}

/// While an event waits to be read the ioctl gives `EAGAIN` and says so in its result field too; then it works.
pub fn holds_up(call: Call, memory: Memory, change: calls::Call) -> Outcome {
    let stage = Stage::with_features(call, memory, change.feature())?;
    let waiting = Waiting::begin(stage.uffd(), change)?;
    for _ in 0..2 {
        stage.request.make(stage.uffd()).fails(Errno::EAGAIN)?;
    }
    stage.is_unchanged_but_for_messages()?;
    waiting.end(stage.uffd())?;
    stage.is_unchanged()?;
    stage.works()
}

/// While an event waits to be read a wake still wakes, and leaves the event alone.
pub fn does_not_hold_up_a_wake(memory: Memory, change: calls::Call) -> Outcome {
    let stage = Stage::with_features(Call::Wake, memory, change.feature())?;
    let waiting = Waiting::begin(stage.uffd(), change)?;
    stage.request.make(stage.uffd()).succeeds()?;
    stage.waiter_faults_again()?;
    // In which order fault and event are read is no matter of this case.
    let read = [stage.uffd().message()?, stage.uffd().message()?];
    let events = read.map(|message| message.event());
    ensure!(read.iter().any(|message| waiting.is_told_by(*message)), "the event of {change:?} is lost: {events:?}");
    let fault = Event::Pagefault { flags: 0, address: stage.page().start as u64, ptid: 0 };
    ensure!(events.contains(&fault), "expected {fault:?} among {events:?}");
    waiting.is_over()?;
    stage.uffd().has_nothing_to_read()
}
