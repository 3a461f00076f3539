//! Registering while an event of the same userfaultfd waits to be read.

use super::ioctls;
use crate::calls::Call;
use crate::prelude::*;

/// While an event waits to be read, `UFFDIO_COPY` has to be tried again, but a further range can be registered.
#[rstest]
#[test_attr(registered(conformance))]
fn a_pending_event_does_not_stop_a_registration(
    #[values(Call::Fork, Call::Mremap, Call::Madvise, Call::Munmap)] call: Call,
) -> Outcome {
    begin!(statements: ["REG-053"], axes: [Memory::Anon, Mode::MISSING, call])?;
    let uffd = given::uffd(call.feature())?;
    let (region, other) = (Memory::Anon.map(2)?, Memory::Anon.map(2)?);
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let caller = call.start(&region)?;
    while !caller.has_ended() && uffd.poll(1) == Ok(0) {}
    ensure!(!caller.has_ended(), "the call did not wait for its event to be read");
    uffd.register(other.range(), UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&other, &[(other.range(), Mode::MISSING)])?;
    let (first, second) = (other.page(0), other.page(1));
    let source = given::source(first.size, Pattern::new(1))?;
    let copied = uffd.copy(first.range(), source.start() as u64, 0);
    ensure_eq!(copied.result, Err(Errno::EAGAIN), "UFFDIO_COPY while the event is pending");
    let message = uffd.message()?;
    ensure!(call.event(&region, message), "the event is {:?}", message.event());
    ensure_eq!(caller.join()?, Ending::Returned(Ok(())), "the call");
    uffd.copy(first.range(), source.start() as u64, 0).does(first.size as u64)?;
    tracking::delivered(&uffd, second, Mode::MISSING)?;
    Ok(())
}
