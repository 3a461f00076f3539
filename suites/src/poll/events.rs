//! The order of faults and events in read(2), which no document states.

use uffd_harness::case::Axis;

use super::waiter;
use crate::calls::Call;
use crate::prelude::*;

/// What a queued message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A page fault.
    Fault,
    /// An event.
    Event,
}

impl Kind {
    /// An event or a fault.
    pub const fn new(event: bool) -> Self {
        if event { Self::Event } else { Self::Fault }
    }
}

impl Axis for Kind {
    fn axis(&self) -> &'static str {
        "message"
    }
    fn value(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Faults are read before events, whichever came first, in one read and in several.
#[rstest]
#[test_attr(registered(conformance))]
fn faults_are_read_before_events(
    #[values(Call::Fork, Call::Mremap, Call::Madvise, Call::Munmap)] call: Call,
    #[values(Kind::Fault, Kind::Event)] first: Kind,
) -> Outcome {
    begin!(statements: ["POLL-017"], axes: [call, first])?;
    for in_one_read in [true, false] {
        let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 4, call.feature())?;
        let faults =
            || -> Result<_, Stop> { Ok([waiter(&scene, Mode::MISSING, 0)?, waiter(&scene, Mode::MISSING, 3)?]) };
        let early = if first == Kind::Fault { Some(faults()?) } else { None };
        let caller = call.start(&scene.region)?;
        if first == Kind::Event {
            caller.causes_a_message(&scene.uffd)?;
        }
        let sleepers = match early {
            Some(sleepers) => {
                // The fault alone is POLLIN already, so the call itself must be seen to wait.
                caller.falls_asleep_in(call.number())?;
                sleepers
            }
            None => faults()?,
        };
        let length = if in_one_read { 4 * 32 } else { 32 };
        let mut messages = Vec::new();
        while messages.len() < 3 {
            let bytes = scene.uffd.read(length).map_err(|errno| broken(format!("read failed with {errno:?}")))?;
            ensure_eq!(bytes.len(), if in_one_read { 96 } else { 32 }, "the bytes of one read");
            messages.extend(bytes.chunks_exact(32).filter_map(|raw| raw.try_into().ok()).map(Message::new));
        }
        for (message, page) in messages.iter().zip([0, 3]) {
            let fault = Event::Pagefault { flags: 0, address: scene.page(page).start as u64, ptid: 0 };
            ensure_eq!(message.event(), fault, "the faults, in the order in which they came");
        }
        ensure!(call.event(&scene.region, messages[2]), "the last message says {:?}", messages[2].event());
        ensure_eq!(caller.ends_without_a_message(&scene.uffd)?, Ok(()), "the call");
        for (sleeper, sleep) in sleepers {
            sleeper.is_still_in(sleep)?;
        }
    }
    Ok(())
}
